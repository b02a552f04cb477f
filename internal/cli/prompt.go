package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sessctl/sess/internal/sess"
)

// maxSecret bounds a password or token read from a file, in bytes.
const maxSecret = 4096

// ask asks for a line on the terminal.
func (a *app) ask(prompt string) (string, error) {
	if !terminal(a.in) {
		return "", sess.New(sess.CodeInvalid, "there is no terminal to ask at", "")
	}
	fmt.Fprint(a.err, prompt)
	line, err := bufio.NewReader(io.LimitReader(a.in, maxSecret)).ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// confirm asks a yes-or-no question; anything but yes is no.
func (a *app) confirm(question string) (bool, error) {
	answer, err := a.ask(question + " (yes/no) ")
	return strings.EqualFold(answer, "yes") || strings.EqualFold(answer, "y"), err
}

// password gets a password: from file ("-": standard input) when that is named, else at the terminal, where a new one is
// asked for twice.
func (a *app) password(file, prompt string, again bool) (string, error) {
	if file != "" {
		return a.secretFile(file)
	}
	if !terminal(a.in) {
		return "", sess.New(sess.CodeInvalid, "there is no terminal to ask for a password at", "give it with --password-file FILE, or - for standard input")
	}
	one, err := a.secret(prompt)
	if err != nil || !again {
		return one, err
	}
	two, err := a.secret("Again: ")
	if err == nil && one != two {
		err = sess.New(sess.CodeInvalid, "the two passwords differ", "try again")
	}
	return one, err
}

func (a *app) secret(prompt string) (string, error) {
	fmt.Fprint(a.err, prompt)
	b, err := term.ReadPassword(int(a.in.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(b), nil
}

// secretFile reads a secret from a file; the line's end is not part of it.
func (a *app) secretFile(path string) (string, error) {
	f := a.in
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" || len(b) > maxSecret {
		return "", sess.New(sess.CodeInvalid, fmt.Sprintf("%s holds no password of 1 to %d bytes", path, maxSecret), "")
	}
	return s, nil
}
