// Command check reads the golden files with the Go module database's own code (golang.org/x/mod/sumdb/note and tlog) and a Go
// implementation of RFC 8785. It knows nothing of this project but the formats.
//
// Usage: cd test/golden/check && go run . ..
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	log.SetFlags(0)
	dir := os.Args[1]
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		check(err)
		return data
	}

	for _, name := range []string{"anchor-record.json", "anchor-record-minimal.json", "succession-record.json"} {
		canonical, err := jcs.Transform(read(name))
		check(err)
		require(bytes.Equal(canonical, read(name)), name+" is not canonical")
		fmt.Println("ok", name, "is canonical (RFC 8785)")
	}

	verifier, err := note.NewVerifier(string(read("vkey.txt")))
	check(err)
	for _, name := range []string{"checkpoint-0.txt", "checkpoint-5.txt"} {
		size, root := open(read(name), verifier)
		fmt.Println("ok", name, "is signed by the vkey: size", size, "root", root)
	}
	_, emptyRoot := open(read("checkpoint-0.txt"), verifier)
	require(emptyRoot == tlog.Hash(sha256.Sum256(nil)), "the empty log has another root")

	// The log half of the proof, as any reader of c2sp.org/tlog-proof would check it.
	head, checkpoint, found := strings.Cut(string(read("receipt.tlog-proof")), "\n\n")
	require(found, "no empty line")
	require(checkpoint == string(read("checkpoint-5.txt")), "another checkpoint")
	lines := strings.Split(head, "\n")
	require(lines[0] == "c2sp.org/tlog-proof@v1", "first line")
	extra := decode(strings.TrimPrefix(lines[1], "extra "))
	logIndex, recordPath := indexAndPath(lines[2:])

	// The leaf half.
	leafHead, record, found := bytes.Cut(extra, []byte("\n\n"))
	require(found, "no empty line in the extra data")
	leafLines := strings.Split(string(leafHead), "\n")
	require(leafLines[0] == "quartermaster.dev/leaf-proof@v1", "first line of the extra data")
	leafIndex, leafPath := indexAndPath(leafLines[1:])
	require(bytes.Equal(record, read("anchor-record.json")), "another record")

	size, root := open([]byte(checkpoint), verifier)
	check(tlog.CheckRecord(recordPath, size, root, logIndex, tlog.RecordHash(record)))
	fmt.Println("ok receipt.tlog-proof: the record is entry", logIndex, "of the log of", size)

	var fields struct {
		Root      string `json:"root"`
		LeafCount string `json:"leaf_count"`
	}
	check(json.Unmarshal(record, &fields))
	leafCount, err := strconv.ParseInt(fields.LeafCount, 10, 64)
	check(err)
	batchRoot, err := hex.DecodeString(fields.Root)
	check(err)
	leaf := sha256.Sum256([]byte(fmt.Sprintf("event %d", leafIndex)))
	check(tlog.CheckRecord(leafPath, leafCount, tlog.Hash(batchRoot), leafIndex, tlog.RecordHash(leaf[:])))
	fmt.Println("ok receipt.tlog-proof: the leaf is leaf", leafIndex, "of the batch of", leafCount)

	var events []struct{ Json, Salt, Canonical, Leaf, Hash string }
	check(json.Unmarshal(read("events.json"), &events))
	for _, event := range events {
		canonical, err := jcs.Transform([]byte(event.Json))
		check(err)
		require(string(canonical) == event.Canonical, "another canonical form of an event")
		leaf := sha256.Sum256([]byte("quartermaster.dev/event@v1\n" + event.Salt + "\n" + event.Canonical))
		require(hex.EncodeToString(leaf[:]) == event.Leaf, "another leaf of an event")
		hash := sha256.Sum256(canonical)
		require(hex.EncodeToString(hash[:]) == event.Hash, "another hash of an event")
	}
	fmt.Println("ok events.json:", len(events), "events have their canonical form (RFC 8785), leaf and hash")
}

func open(signed []byte, verifier note.Verifier) (int64, tlog.Hash) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	require(len(lines) == 4 && lines[0] == verifier.Name(), "the origin is not the key's name")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	return size, tlog.Hash(decode(lines[2]))
}

func indexAndPath(lines []string) (int64, []tlog.Hash) {
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	check(err)
	var path []tlog.Hash
	for _, line := range lines[1:] {
		path = append(path, tlog.Hash(decode(line)))
	}
	return index, path
}

func decode(encoded string) []byte {
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	check(err)
	return data
}

func require(ok bool, problem string) {
	if !ok {
		log.Fatal(problem)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
