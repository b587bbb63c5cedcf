package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// SelfSigned is the way to do TLS with a certificate that this program makes for itself, for development:
// wallets have to be told to trust it.
const SelfSigned = "self-signed"

// Names of a development certificate's files.
const (
	certificateName = "tls-certificate.pem"
	keyName         = "tls-key.pem"
)

// A development certificate is valid as long as browsers accept at most, and made anew before it ends.
const (
	certificateLife  = 90 * 24 * time.Hour
	certificateRenew = 7 * 24 * time.Hour
)

// LoadCertificate reads a certificate chain and its key from PEM files.
func LoadCertificate(certificate, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return tlsConfig(pair), nil
}

func tlsConfig(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// DevelopmentCertificate returns the self-signed certificate kept in dir, made anew when there is none, it
// soon ends or is not for every one of hosts (names or addresses; this machine's loopback names are always in).
// path is the certificate's file, for clients to trust.
func DevelopmentCertificate(dir string, hosts []string, now time.Time, random io.Reader) (c *tls.Config, path string, err error) {
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	certFile, keyFile := filepath.Join(dir, certificateName), filepath.Join(dir, keyName)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && fits(pair.Leaf, hosts, now) {
		return tlsConfig(pair), certFile, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("server: the development certificate in %s: %w", dir, err)
	}
	certPEM, keyPEM, err := makeCertificate(hosts, now, random)
	if err != nil {
		return nil, "", fmt.Errorf("server: %w", err)
	}
	// The key first: a certificate without its key is seen and made again, and so is a pair that differs.
	for _, f := range []struct {
		path string
		data []byte
	}{{keyFile, keyPEM}, {certFile, certPEM}} {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, "", fmt.Errorf("server: %w", err)
		}
		if err := os.WriteFile(f.path, f.data, 0o600); err != nil {
			return nil, "", fmt.Errorf("server: %w", err)
		}
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, "", fmt.Errorf("server: %w", err)
	}
	return tlsConfig(pair), certFile, nil
}

func fits(c *x509.Certificate, hosts []string, now time.Time) bool {
	if now.Before(c.NotBefore) || now.Add(certificateRenew).After(c.NotAfter) {
		return false
	}
	for _, h := range hosts {
		if c.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func makeCertificate(hosts []string, now time.Time, random io.Reader) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "Hufu development"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Clients that are told to trust the certificate take it as the root of a chain of one.
		BasicConstraintsValid: true, IsCA: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, h) {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(random, &template, &template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), nil
}
