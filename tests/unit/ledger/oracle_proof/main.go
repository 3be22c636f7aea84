// What Go's own implementation of transparency logs (golang.org/x/mod/sumdb) says of c2sp.org/tlog-proof files. Arguments: the
// log's vkey, then the files; exits 1 at the first that Go does not accept, else prints how many there were.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error, where string) {
	if err != nil {
		fmt.Printf("%s: %v\n", where, err)
		os.Exit(1)
	}
}

// The proof's own lines, and the checkpoint behind the first empty one.
func check(name string, verifiers note.Verifiers) {
	data, err := os.ReadFile(name)
	must(err, name)
	parts := strings.SplitN(string(data), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		must(fmt.Errorf("not a tlog-proof"), name)
	}
	record, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	must(err, name)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	must(err, name)
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		must(err, name)
		path = append(path, hash)
	}
	signed, err := note.Open([]byte(parts[1]), verifiers)
	must(err, name)
	head := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(head[1], 10, 64)
	must(err, name)
	root, err := tlog.ParseHash(head[2])
	must(err, name)
	must(tlog.CheckRecord(path, size, root, index, tlog.RecordHash(record)), name)
}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	must(err, "vkey")
	for _, name := range os.Args[2:] {
		check(name, note.VerifierList(verifier))
	}
	fmt.Println(len(os.Args) - 2)
}
