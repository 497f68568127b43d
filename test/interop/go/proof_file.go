package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	formats "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

const formatsProof = "github.com/transparency-dev/formats/proof"

type proofFileQuestion struct {
	File []byte `json:"file"`
	Vkey string `json:"vkey"`
	// Leaf is the digest of the event; where it is empty only the half that any reader of the format knows is checked.
	Leaf []byte `json:"leaf"`
}

// checkProofFile verifies a .tlog-proof (c2sp.org/tlog-proof) in two steps: that the record in its extra data is an entry of
// the log, and that the leaf is in the batch that the record describes.
func checkProofFile(question proofFileQuestion) verdicts {
	record, leafLines, err := checkLogHalf(question)
	answer := verdicts{formatsProof: judged(err)}
	if len(question.Leaf) != 0 {
		if err == nil {
			err = checkLeafHalf(record, leafLines, question.Leaf)
		}
		answer[sumdbTlog] = judged(err)
	}
	return answer
}

func checkLogHalf(question proofFileQuestion) (record []byte, leafLines []string, err error) {
	var file formats.TLogProof
	if err := file.Unmarshal(question.File); err != nil {
		return nil, nil, err
	}
	// The package reads loosely (base64 with stray trailing bits, text after the checkpoint's last line).
	if !bytes.Equal(file.Marshal(), question.File) {
		return nil, nil, errors.New("the package writes this proof in another way")
	}
	leafHead, record, found := bytes.Cut(file.ExtraData, []byte("\n\n"))
	if !found {
		return nil, nil, errors.New("the extra data has no empty line before the record")
	}
	checkpoint, err := openWithFormats(checkpointQuestion{Note: file.Checkpoint, Vkey: question.Vkey})
	if err != nil {
		return nil, nil, err
	}
	path := make([][]byte, len(file.Hashes))
	for i := range file.Hashes {
		path[i] = file.Hashes[i][:]
	}
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, file.Index, checkpoint.Size,
		rfc6962.DefaultHasher.HashLeaf(record), path, checkpoint.Root)
	return record, strings.Split(string(leafHead), "\n"), err
}

func checkLeafHalf(record []byte, lines []string, leaf []byte) error {
	if len(lines) < 2 || lines[0] != "quartermaster.dev/leaf-proof@v1" {
		return errors.New("the extra data is no leaf proof")
	}
	decimal, found := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(decimal, 10, 64)
	if !found || err != nil {
		return fmt.Errorf("the leaf index is %q", lines[1])
	}
	var path []tlog.Hash
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("the leaf path has %q", line)
		}
		path = append(path, tlog.Hash(hash))
	}
	var batch struct {
		Root      string `json:"root"`
		LeafCount string `json:"leaf_count"`
	}
	if err := json.Unmarshal(record, &batch); err != nil {
		return err
	}
	count, err := strconv.ParseInt(batch.LeafCount, 10, 64)
	if err != nil {
		return err
	}
	root, err := hex.DecodeString(batch.Root)
	if err != nil || len(root) != tlog.HashSize {
		return fmt.Errorf("the record's root is %q", batch.Root)
	}
	return tlog.CheckRecord(path, count, tlog.Hash(root), index, tlog.RecordHash(leaf))
}
