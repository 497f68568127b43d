package proof

import (
	"encoding/json"
	"os"
	"strconv"

	"github.com/transparency-dev/merkle"
)

// Takes the place of the package's two verifiers while the package's own tests run, and writes down what they are asked and
// what they answer. The originals have names of small letters then.

type recordedInclusion struct {
	Verifier string   `json:"verifier"`
	Accepted bool     `json:"accepted"`
	Index    string   `json:"index"`
	Size     string   `json:"size"`
	LeafHash []byte   `json:"leafHash"`
	Path     [][]byte `json:"path"`
	Root     []byte   `json:"root"`
}

type recordedConsistency struct {
	Verifier   string   `json:"verifier"`
	Accepted   bool     `json:"accepted"`
	FirstSize  string   `json:"firstSize"`
	SecondSize string   `json:"secondSize"`
	FirstRoot  []byte   `json:"firstRoot"`
	SecondRoot []byte   `json:"secondRoot"`
	Path       [][]byte `json:"path"`
}

func VerifyInclusion(hasher merkle.LogHasher, index, size uint64, leafHash []byte, proof [][]byte, root []byte) error {
	err := verifyInclusion(hasher, index, size, leafHash, proof, root)
	record(recordedInclusion{"inclusion", err == nil, decimal(index), decimal(size), leafHash, proof, root})
	return err
}

func VerifyConsistency(hasher merkle.LogHasher, size1, size2 uint64, proof [][]byte, root1, root2 []byte) error {
	err := verifyConsistency(hasher, size1, size2, proof, root1, root2)
	record(recordedConsistency{"consistency", err == nil, decimal(size1), decimal(size2), root1, root2, proof})
	return err
}

// decimal spells what a JSON number could not hold: some of the tests ask for index 0 - 1.
func decimal(size uint64) string {
	return strconv.FormatUint(size, 10)
}

func record(call any) {
	line, err := json.Marshal(call)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(os.Getenv("RECORDED_CALLS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}
