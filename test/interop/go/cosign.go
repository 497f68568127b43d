package main

import (
	"crypto/rand"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

type cosigned struct {
	Note []byte `json:"note"`
	// Vkeys are the new signers', in the order of their lines.
	Vkeys []string `json:"vkeys"`
}

// cosign adds signatures of keys that nobody pinned: another Ed25519 key, and a witness's timestamped cosignatures
// (c2sp.org/tlog-cosignature) under Ed25519 and ML-DSA-44.
func cosign(question checkpointQuestion) cosigned {
	log, err := note.NewVerifier(question.Vkey)
	must(err)
	opened, err := note.Open(question.Note, note.VerifierList(log))
	must(err)

	plainKey, plainVkey, err := note.GenerateKey(rand.Reader, "someone.example/else")
	must(err)
	plain, err := note.NewSigner(plainKey)
	must(err)
	witnessKey, witnessVkey, err := note.GenerateKey(rand.Reader, "witness.example/one")
	must(err)
	witness, err := formatsnote.NewSignerForCosignatureV1(witnessKey)
	must(err)
	cosignatureVkey, err := formatsnote.VKeyToCosignatureV1(witnessVkey)
	must(err)
	mldsaKey, mldsaVkey, err := formatsnote.GenerateMLDSAKey("witness.example/two")
	must(err)
	mldsa, err := formatsnote.NewMLDSASigner(mldsaKey)
	must(err)

	signed, err := note.Sign(opened, plain, witness, mldsa)
	must(err)
	return cosigned{Note: signed, Vkeys: []string{plainVkey, cosignatureVkey, mldsaVkey}}
}
