package criu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionsAreReadAndCompared(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]Version{
		"Version: 4.2.1\n": {4, 2},
		"runc version 1.3.6+ds1\ncommit: 1.3.6+ds1-1\nspec: 1.2.1\ngo: go1.26.5\n": {1, 3},
		"Version: 4.3\nGitID: v4.3-1-g12345\n":                                     {4, 3},
	} {
		got, err := ParseVersion(output)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := ParseVersion("command not found")
	require.ErrorContains(t, err, "command not found")
	require.True(t, Version{4, 1}.Before(OldestCRIU))
	require.True(t, Version{3, 17}.Before(OldestCRIU))
	require.False(t, Version{4, 2}.Before(OldestCRIU))
	require.False(t, Version{5, 0}.Before(OldestCRIU))
}

func TestReasonIsTheFirstErrorsWithoutNoise(t *testing.T) {
	t.Parallel()
	log := `(00.000010) Version: 4.2.1
(00.001000) Error (criu/rlimit.c:51): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.123456) Error (criu/files-reg.c:2000): File log has bad size 51 (expect 48)
(00.123500) Error (criu/cr-restore.c:1480): 42 exited, status=1
(00.123600) Error (criu/cr-restore.c:2500): Restoring FAILED.
`
	reason := Reason(strings.NewReader(log))
	require.True(t, strings.HasPrefix(reason, "File log has bad size 51 (expect 48) ("), reason)
	require.NotContains(t, reason, "Restoring FAILED")
	require.NotContains(t, reason, "RLIMIT_NOFILE")
}

func TestKnownReasonsHaveAHint(t *testing.T) {
	t.Parallel()
	for line, hint := range map[string]string{
		"Error (criu/sockets.c:100): inet: Unsupported proto 262":                                                                                     "GODEBUG=multipathtcp=0",
		"Error (criu/mount.c:400): mnt: Mount 1002 ./host/root (master_id: 177 shared_id: 0) has unreachable sharing. Try --enable-external-masters.": "take mountPropagation out",
		"Error (criu/files.c:1): Can't dump file 5 of that type [10600] (anon_inode:[io_uring])":                                                      "sysctl kernel.io_uring_disabled=2",
		"Error (criu/kerndat.c:1): Can't create inotify: Too many open files":                                                                         "fs.inotify.max_user_instances",
		"Error (criu/cr-dump.c:200): Can't get rlimit 0":                                                                                              "CAP_SYS_RESOURCE",
		"Error (criu/sk-inet.c:900): inet: Can't bind inet socket back: Cannot assign requested address":                                              "tcp-close",
		"Error (criu/fsnotify.c:267): fsnotify: \tCan't dump that handle":                                                                             "inotify",
		"Error (criu/files.c:400): Can't lookup mount=354 for fd=8 path=/counter (deleted)":                                                           "POSIX message queue",
	} {
		require.Contains(t, Reason(strings.NewReader(line)), hint)
	}
}

func TestALogWithoutErrorsHasNoReason(t *testing.T) {
	t.Parallel()
	require.Empty(t, Reason(strings.NewReader("(00.1) Dumping finished successfully\n")))
	require.Empty(t, ReasonFile("/nowhere/dump.log"))
	require.Equal(t, "Dumping FAILED.", Reason(strings.NewReader("(1) Error (a.c:1): Dumping FAILED.")))
}

func TestOwnConfigurationIsEnough(t *testing.T) {
	t.Parallel()
	require.Empty(t, MissingOptions(Config))
	require.Equal(t, []string{"skip-in-flight"}, MissingOptions("# skip-in-flight\n--tcp-close\n"))
	require.Equal(t, Required, MissingOptions(""))
}
