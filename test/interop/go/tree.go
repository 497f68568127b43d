package main

import (
	"errors"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	sumdbTlog     = "golang.org/x/mod/sumdb/tlog"
	merkleProof   = "github.com/transparency-dev/merkle/proof"
	merkleCompact = "github.com/transparency-dev/merkle/compact"
)

type inclusionQuestion struct {
	// Entry is hashed here, never by whoever asks.
	Entry []byte   `json:"entry"`
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Path  [][]byte `json:"path"`
	Root  []byte   `json:"root"`
}

// checkInclusion verifies an inclusion proof of RFC 6962 section 2.1.1.
func checkInclusion(question inclusionQuestion) verdicts {
	return verdicts{
		sumdbTlog: judged(func() error {
			path, root, err := hashes(question.Path, question.Root)
			if err != nil {
				return err
			}
			return tlog.CheckRecord(path, question.Size, root, question.Index, tlog.RecordHash(question.Entry))
		}()),
		merkleProof: judged(proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(question.Index), uint64(question.Size),
			rfc6962.DefaultHasher.HashLeaf(question.Entry), question.Path, question.Root)),
	}
}

type consistencyQuestion struct {
	First      int64    `json:"first"`
	Second     int64    `json:"second"`
	FirstRoot  []byte   `json:"firstRoot"`
	SecondRoot []byte   `json:"secondRoot"`
	Path       [][]byte `json:"path"`
}

// checkConsistency verifies a consistency proof of RFC 6962 section 2.1.2.
func checkConsistency(question consistencyQuestion) verdicts {
	answer := verdicts{
		merkleProof: judged(proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(question.First), uint64(question.Second),
			question.Path, question.FirstRoot, question.SecondRoot)),
	}
	// tlog.CheckTree has no opinion of the empty tree: it refuses size 0 as an argument.
	if question.First > 0 {
		answer[sumdbTlog] = judged(func() error {
			path, first, err := hashes(question.Path, question.FirstRoot)
			if err != nil {
				return err
			}
			_, second, err := hashes(nil, question.SecondRoot)
			if err != nil {
				return err
			}
			return tlog.CheckTree(path, question.Second, second, question.First, first)
		}())
	}
	return answer
}

type rootsQuestion struct {
	Entries [][]byte `json:"entries"`
}

// computeRoots computes the root of every beginning of the entries, the empty one first, from the entries alone.
func computeRoots(question rootsQuestion) map[string][][]byte {
	stored := []tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	byTlog := func(size int) []byte {
		root, err := tlog.TreeHash(int64(size), reader)
		must(err)
		return root[:]
	}
	growing := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	byCompact := func(size int) []byte {
		if size == 0 {
			return rfc6962.DefaultHasher.EmptyRoot()
		}
		root, err := growing.GetRootHash(nil)
		must(err)
		return root
	}

	answer := map[string][][]byte{sumdbTlog: {byTlog(0)}, merkleCompact: {byCompact(0)}}
	for i, entry := range question.Entries {
		added, err := tlog.StoredHashes(int64(i), entry, reader)
		must(err)
		stored = append(stored, added...)
		must(growing.Append(rfc6962.DefaultHasher.HashLeaf(entry), nil))
		answer[sumdbTlog] = append(answer[sumdbTlog], byTlog(i+1))
		answer[merkleCompact] = append(answer[merkleCompact], byCompact(i+1))
	}
	return answer
}

func hashes(path [][]byte, root []byte) ([]tlog.Hash, tlog.Hash, error) {
	read := make([]tlog.Hash, len(path))
	for i, hash := range path {
		if len(hash) != tlog.HashSize {
			return nil, tlog.Hash{}, errors.New("a hash of the path has another length than 32 bytes")
		}
		read[i] = tlog.Hash(hash)
	}
	if len(root) != tlog.HashSize {
		return nil, tlog.Hash{}, errors.New("the root has another length than 32 bytes")
	}
	return read, tlog.Hash(root), nil
}
