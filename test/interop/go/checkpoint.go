package main

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	formats "github.com/transparency-dev/formats/log"
	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

const (
	sumdbNote  = "golang.org/x/mod/sumdb/note"
	formatsLog = "github.com/transparency-dev/formats/log"
)

type checkpointQuestion struct {
	// Note is a signed note, verbatim.
	Note []byte `json:"note"`
	// Vkey is the pinned key of the log: its name is the origin.
	Vkey string `json:"vkey"`
}

type head struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   []byte `json:"root"`
}

// checkCheckpoint opens a checkpoint (c2sp.org/tlog-checkpoint) under one pinned key.
func checkCheckpoint(question checkpointQuestion) verdicts {
	byNote, err := openWithSumdbNote(question)
	byFormats, formatsErr := openWithFormats(question)
	return verdicts{
		sumdbNote:  {Refused: judged(err).Refused, Head: byNote},
		formatsLog: {Refused: judged(formatsErr).Refused, Head: byFormats},
	}
}

func openWithSumdbNote(question checkpointQuestion) (*head, error) {
	verifier, err := note.NewVerifier(question.Vkey)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(question.Note, note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	// The package knows notes; the lines of a checkpoint are read here.
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return nil, errors.New("the first line is not the key's name")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return nil, err
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil {
		return nil, err
	}
	return &head{Origin: lines[0], Size: size, Root: root}, nil
}

func openWithFormats(question checkpointQuestion) (*head, error) {
	verifier, err := formatsnote.NewVerifier(question.Vkey)
	if err != nil {
		return nil, err
	}
	checkpoint, extension, _, err := formats.ParseCheckpoint(question.Note, verifier.Name(), verifier)
	if err != nil {
		return nil, err
	}
	if len(extension) != 0 {
		return nil, errors.New("there are extension lines, which no checkpoint of this notary has")
	}
	return &head{Origin: checkpoint.Origin, Size: checkpoint.Size, Root: checkpoint.Hash}, nil
}
