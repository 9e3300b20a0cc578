// Package pki keeps a cluster's certificate authorities and the certificates they sign, as PEM files in one directory.
//
// Everything is made once and found again at the next start: a new authority would lock out every client and agent that trusts the old
// one. Certificates are signed again only when their names change or their end is near. Keys are ECDSA P-256: making one takes
// microseconds, where RSA takes a noticeable part of a node's start.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore is k3s's: certificates that end within it are signed again at start.
	renewBefore = 120 * 24 * time.Hour
)

// Authority signs certificates.
type Authority struct {
	dir  string
	name string
	cert *x509.Certificate
	key  crypto.Signer
	now  func() time.Time
}

// Spec says what a certificate is for.
type Spec struct {
	// CommonName is the user name of a client.
	CommonName string
	// Organization are the groups of a client.
	Organization []string
	DNSNames     []string
	IPs          []netip.Addr
	Usages       []x509.ExtKeyUsage
}

// Pair is where a certificate and its key are.
type Pair struct {
	Cert string
	Key  string
}

// OpenAuthority finds the authority NAME in dir (NAME.crt, NAME.key), or makes it.
//
// A certificate without its key is an error, not a reason to make another: clients trust it already.
func OpenAuthority(dir, name string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create certificate directory: %w", err)
	}
	a := &Authority{dir: dir, name: name, now: time.Now}
	cert, err := readCert(a.CertFile())
	switch {
	case err == nil:
		if a.key, err = readKey(a.keyFile()); err != nil {
			return nil, fmt.Errorf("open authority %s: %w", name, err)
		}
		if !a.key.Public().(*ecdsa.PublicKey).Equal(cert.PublicKey) {
			return nil, fmt.Errorf("open authority %s: %s is not the key of %s", name, a.keyFile(), a.CertFile())
		}
		a.cert = cert
		return a, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open authority %s: %w", name, err)
	}
	if err := a.create(); err != nil {
		return nil, fmt.Errorf("create authority %s: %w", name, err)
	}
	return a, nil
}

// CertFile is the file of the authority's own certificate.
func (a *Authority) CertFile() string { return filepath.Join(a.dir, a.name+".crt") }

// KeyFile is the file of the authority's key, for the controller manager that signs for agents.
func (a *Authority) KeyFile() string { return a.keyFile() }

func (a *Authority) keyFile() string { return filepath.Join(a.dir, a.name+".key") }

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *Authority) create() error {
	key, err := OpenKey(a.keyFile())
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	now := a.now()
	template := &x509.Certificate{
		SerialNumber: serial,
		// The time tells two clusters' authorities apart where only names are shown.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s@%d", a.name, now.Unix())},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("sign certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("parse certificate: %w", err)
	}
	a.key = key
	return write(a.CertFile(), "CERTIFICATE", der, 0o644)
}

// Issue finds the certificate NAME (NAME.crt, NAME.key in the authority's directory), or signs it. It is signed again when it was
// signed by another authority, is for something else than spec, or ends soon.
func (a *Authority) Issue(name string, spec Spec) (Pair, error) {
	pair := Pair{Cert: filepath.Join(a.dir, name+".crt"), Key: filepath.Join(a.dir, name+".key")}
	cert, err := readCert(pair.Cert)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	key, err := OpenKey(pair.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	if cert != nil && a.serves(cert, key, spec) {
		return pair, nil
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	now := a.now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: spec.CommonName, Organization: spec.Organization},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  spec.Usages,
		DNSNames:     spec.DNSNames,
	}
	for _, ip := range spec.IPs {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: sign: %w", name, err)
	}
	if err := write(pair.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	return pair, nil
}

// serves says whether cert is what spec asks for, and for long enough.
func (a *Authority) serves(cert *x509.Certificate, key crypto.Signer, spec Spec) bool {
	return cert.CheckSignatureFrom(a.cert) == nil &&
		key.Public().(*ecdsa.PublicKey).Equal(cert.PublicKey) &&
		cert.NotAfter.Sub(a.now()) > renewBefore &&
		cert.Subject.CommonName == spec.CommonName &&
		sameSet(cert.Subject.Organization, spec.Organization) &&
		sameSet(cert.DNSNames, spec.DNSNames) &&
		sameSet(addresses(cert), spec.IPs) &&
		slices.Equal(cert.ExtKeyUsage, spec.Usages)
}

// Serves says whether file holds a certificate of key that does not end soon. It is for certificates that another authority signed.
func Serves(file string, key *ecdsa.PublicKey) bool {
	cert, err := readCert(file)
	return err == nil && key.Equal(cert.PublicKey) && time.Until(cert.NotAfter) > renewBefore
}

func addresses(cert *x509.Certificate) []netip.Addr {
	var all []netip.Addr
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			all = append(all, a.Unmap())
		}
	}
	return all
}

func sameSet[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return serial, nil
}

// OpenKey finds the ECDSA key in file, or makes it.
func OpenKey(file string) (crypto.Signer, error) {
	key, err := readKey(file)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", file, err)
	}
	der, err := x509.MarshalECPrivateKey(made)
	if err != nil {
		return nil, fmt.Errorf("encode key %s: %w", file, err)
	}
	if err := write(file, "EC PRIVATE KEY", der, 0o600); err != nil {
		return nil, err
	}
	return made, nil
}

func readKey(file string) (crypto.Signer, error) {
	block, err := readBlock(file, "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(block)
	if err != nil {
		return nil, fmt.Errorf("parse key %s: %w", file, err)
	}
	return key, nil
}

func readCert(file string) (*x509.Certificate, error) {
	block, err := readBlock(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, fmt.Errorf("parse certificate %s: %w", file, err)
	}
	return cert, nil
}

func readBlock(file, kind string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("read %s: no PEM block %q in it", file, kind)
	}
	return block.Bytes, nil
}

// write replaces file as a whole: a container killed half-way through a start leaves the old file or the new one.
func write(file, kind string, der []byte, mode fs.FileMode) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
