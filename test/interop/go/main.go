// Command verifiers asks other people's verifiers what they think of a notary's bytes. It knows nothing of this project but
// the published formats, computes every hash itself, and calls no network.
//
// Each line of standard input is a JSON object whose "check" names what is asked; each line of standard output is the answer,
// with one verdict for each implementation: what it read, or why it refuses. A question that is itself malformed ends the
// program, so that it can never be taken for a refusal.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log"
	"os"
)

// verdicts has the name of each implementation that was asked.
type verdicts map[string]verdict

type verdict struct {
	// Refused says why, and is empty where the implementation accepts.
	Refused string `json:"refused"`
	// Head is what a checkpoint says, where one was read.
	Head *head `json:"head,omitempty"`
}

var checks = map[string]func(question []byte) any{
	"checkpoint":  ask(checkCheckpoint),
	"inclusion":   ask(checkInclusion),
	"consistency": ask(checkConsistency),
	"proof file":  ask(checkProofFile),
	"roots":       ask(computeRoots),
	"cosign":      ask(cosign),
}

func main() {
	log.SetFlags(0)
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			return
		}
		must(err)
		var named struct {
			Check string `json:"check"`
		}
		must(json.Unmarshal(line, &named))
		check, found := checks[named.Check]
		if !found {
			log.Fatalf("no such check: %q", named.Check)
		}
		must(answers.Encode(check(line)))
	}
}

func ask[Question, Answer any](check func(Question) Answer) func([]byte) any {
	return func(line []byte) any {
		var question struct {
			Check string   `json:"check"`
			With  Question `json:"with"`
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		// A misspelled field would leave a zero value in its place, and "refused" would mean nothing.
		decoder.DisallowUnknownFields()
		must(decoder.Decode(&question))
		return check(question.With)
	}
}

func judged(err error) verdict {
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	return verdict{}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
