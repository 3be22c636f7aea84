// Go's signed notes (golang.org/x/mod/sumdb/note) over a checkpoint with cosignatures: main NOTE LOG-VKEY WITNESS-VKEY...
// Go knows type 0x01; type 0x04 (c2sp.org/tlog-cosignature, v1) is written here from its text.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func newCosigner(vkey string) note.Verifier {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		fail("%s is no key of a cosigner", vkey)
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	hash := binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		fail("%s: another key id", vkey)
	}
	return cosigner{parts[0], hash, ed25519.PublicKey(key[1:])}
}

func main() {
	bytes, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail("%v", err)
	}
	log, err := note.NewVerifier(os.Args[2])
	if err != nil {
		fail("%v", err)
	}
	known := []note.Verifier{log}
	for _, vkey := range os.Args[3:] {
		known = append(known, newCosigner(vkey))
	}
	opened, err := note.Open(bytes, note.VerifierList(known...))
	if err != nil {
		fail("%v", err)
	}
	// tlog.ParseTree knows the go.sum database's first line only; the other two are the same.
	lines := strings.SplitN(opened.Text, "\n", 2)
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
	if err != nil || len(opened.Sigs) != len(known) || len(opened.UnverifiedSigs) != 0 {
		fail("%v: %d signatures, %d unknown", err, len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	fmt.Printf("%s %d %d\n", lines[0], tree.N, len(opened.Sigs))
}
