package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passphraseEnv names the variable that names the passphrase file, for services.
const passphraseEnv = "HUFU_PASSPHRASE_FILE"

// passphrase reads the key store's passphrase: from --passphrase-file, from the file named by
// $HUFU_PASSPHRASE_FILE, or from the terminal (twice when a new store is made).
func (a *app) passphrase(create bool) ([]byte, error) {
	path := a.passphraseFile
	if path == "" {
		path = os.Getenv(passphraseEnv)
	}
	if path != "" {
		return passphraseFrom(path)
	}
	return a.askPassphrase(create)
}

// askPassphrase reads it from the terminal.
func (a *app) askPassphrase(create bool) ([]byte, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, usagef("no passphrase for the key store: give --passphrase-file or --key-file, set %s or %s, or run in a terminal", passphraseEnv, keyFileEnv)
	}
	fmt.Fprint(a.err, "Passphrase of the key store: ")
	first, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return nil, err
	}
	if create {
		fmt.Fprint(a.err, "The same again: ")
		second, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(first, second) {
			return nil, errors.New("the two passphrases differ; nothing was made")
		}
	}
	if len(first) == 0 {
		return nil, errors.New("an empty passphrase protects nothing")
	}
	return first, nil
}

// maxPassphrase bounds the first line of a passphrase file.
const maxPassphrase = 4096

func passphraseFrom(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxPassphrase)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return nil, fmt.Errorf("passphrase file %s: its first line is empty", path)
	}
	return []byte(line), nil
}
