package image

// Cedana is the image of the stand-in for Cedana: one binary that is propagator, manager or helper by its first
// argument. [Store.Static] makes it.
var Cedana = Static{
	Name:    "cedana",
	Program: Program{Name: "cedana", Package: "./targets/local/cedana/cmd/cedana"},
	Path:    "/cedana",
}
