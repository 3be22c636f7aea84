// What Go's own implementation of tiled logs (golang.org/x/mod/sumdb/tlog) makes of a ledger's tiles: with nothing but
// the checkpoint, tile/ and state/tree it proves every record of the segments. Arguments: the ledger's folder, its vkey.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

type tiles struct {
	dir  string
	size int64
	edge map[int][]byte // the hashes of each level that are in no whole tile
	read map[string]bool
}

func (t *tiles) Height() int { return 8 }

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, w := range wanted {
		whole := w
		whole.W = 256
		// tlog's own path is tile/8/L/N; that of c2sp.org/tlog-tiles has no height.
		name := strings.Replace(whole.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.dir, name))
		if err == nil {
			t.read[name] = true
		} else if w.N == t.size>>(8*uint(w.L+1)) {
			data = t.edge[w.L]
		} else {
			return nil, err
		}
		if len(data) < w.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", name, len(data))
		}
		out = append(out, data[:w.W*tlog.HashSize])
	}
	return out, nil
}

func readEdge(dir string) *tiles {
	data, err := os.ReadFile(filepath.Join(dir, "state/tree"))
	if err != nil || len(data) < 8 {
		fail("state/tree: %v", err)
	}
	t := &tiles{dir: dir, size: int64(binary.BigEndian.Uint64(data)), edge: map[int][]byte{}, read: map[string]bool{}}
	data = data[8:]
	for level := 0; len(data) > 0; level++ {
		n := int(t.size>>(8*uint(level))&255) * tlog.HashSize
		t.edge[level] = data[:n]
		data = data[n:]
	}
	return t
}

func main() {
	dir := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	if err != nil {
		fail("vkey: %v", err)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "checkpoint"))
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		fail("checkpoint: %v", err)
	}
	var tree tlog.Tree
	lines := strings.Split(opened.Text, "\n")
	if _, err := fmt.Sscan(lines[1], &tree.N); err != nil {
		fail("checkpoint: %v", err)
	}
	if tree.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		fail("checkpoint: %v", err)
	}
	t := readEdge(dir)
	reader := tlog.TileHashReader(tree, t)
	segments, _ := filepath.Glob(filepath.Join(dir, "seg/*.kl"))
	sort.Strings(segments)
	index := int64(0)
	for _, name := range segments {
		data, _ := os.ReadFile(name)
		in := bufio.NewScanner(bytes.NewReader(data))
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if in.Text()[0] == '#' {
				continue
			}
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				fail("record %d: %v", index, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(in.Bytes())); err != nil {
				fail("record %d: %v", index, err)
			}
			index++
		}
	}
	fmt.Println(tree.N, index, len(t.read))
}
