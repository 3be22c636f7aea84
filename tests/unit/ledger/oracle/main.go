// What Go's own implementation of transparency logs (golang.org/x/mod/sumdb) says of our roots, proofs and notes.
// Reads what print_proofs writes; exits 1 at the first thing that Go does not accept.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, s[i])
	}
	return out, nil
}

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fail("%v", err)
	}
	return n
}

func hashes(texts []string) []tlog.Hash {
	var out []tlog.Hash
	for _, text := range texts {
		h, err := tlog.ParseHash(text)
		if err != nil {
			fail("%v", err)
		}
		out = append(out, h)
	}
	return out
}

func main() {
	var all stored
	var leaves []tlog.Hash
	roots := map[int64]tlog.Hash{}
	verifiers := note.VerifierList()
	counts := map[string]int{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		w := strings.Split(in.Text(), " ")
		counts[w[0]]++
		switch w[0] {
		case "leaf":
			data, _ := base64.StdEncoding.DecodeString(w[1])
			more, err := tlog.StoredHashes(int64(len(leaves)), data, all)
			if err != nil {
				fail("%v", err)
			}
			all = append(all, more...)
			leaves = append(leaves, tlog.RecordHash(data))
		case "root":
			n := number(w[1])
			want, err := tlog.TreeHash(n, all)
			if err != nil || (n > 0 && want != hashes(w[2:])[0]) {
				fail("root of %d differs: %v", n, err)
			}
			roots[n] = want
		case "inclusion":
			n, i := number(w[1]), number(w[2])
			if err := tlog.CheckRecord(hashes(w[3:]), n, roots[n], i, leaves[i]); err != nil {
				fail("inclusion of %d in %d: %v", i, n, err)
			}
		case "consistency":
			m, n := number(w[1]), number(w[2])
			if err := tlog.CheckTree(hashes(w[3:]), n, roots[n], m, roots[m]); err != nil {
				fail("consistency of %d and %d: %v", m, n, err)
			}
		case "vkey":
			v, err := note.NewVerifier(w[1])
			if err != nil {
				fail("vkey: %v", err)
			}
			verifiers = note.VerifierList(v)
		case "note":
			data, _ := base64.StdEncoding.DecodeString(w[1])
			opened, err := note.Open(data, verifiers)
			if err != nil || len(opened.Sigs) != 1 {
				fail("note: %v", err)
			}
		default:
			fail("%s?", w[0])
		}
	}
	fmt.Println(counts["root"], counts["inclusion"], counts["consistency"], counts["note"])
}
