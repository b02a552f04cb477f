package idp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on the shape of a SAML response. What checks signatures takes time and memory by the square of depth and of names in
// scope, and is asked by strangers; a response with all the groups that we take is far below.
const (
	maxXMLDepth  = 40
	maxXMLTokens = 10_000 // elements, ends, texts, comments
	maxXMLNames  = 64     // attributes of one element, and namespaces in scope
)

// judgeShape refuses, before anything is taken seriously, a document that would take long to check, and signatures with SHA-1,
// for which documents can be made that have the same.
func judgeShape(doc []byte) error {
	var scopes []int // how many namespaces the open elements declare
	tokens, names := 0, 0
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return refused("the SAML response is no XML")
		}
		if tokens++; tokens > maxXMLTokens {
			return refused(fmt.Sprintf("it has more than %d parts", maxXMLTokens))
		}
		switch t := token.(type) {
		case xml.StartElement:
			declared := namespaces(t)
			scopes, names = append(scopes, declared), names+declared
			if len(scopes) > maxXMLDepth || names > maxXMLNames || len(t.Attr) > maxXMLNames {
				return refused("it is nested too deeply, or names too much at once")
			}
			if isSHA1(t) {
				return refused("it is signed with SHA-1: an admin chooses SHA-256 at the provider")
			}
		case xml.EndElement:
			if len(scopes) == 0 {
				return refused("the SAML response is no XML")
			}
			names -= scopes[len(scopes)-1]
			scopes = scopes[:len(scopes)-1]
		case xml.Directive: // nothing needs one, and entities come by it
			return refused("there is a document type in it")
		}
	}
}

func namespaces(t xml.StartElement) (n int) {
	for _, at := range t.Attr {
		if at.Name.Space == "xmlns" || at.Name.Space == "" && at.Name.Local == "xmlns" {
			n++
		}
	}
	return n
}

func isSHA1(t xml.StartElement) bool {
	if t.Name.Local != "SignatureMethod" && t.Name.Local != "DigestMethod" {
		return false
	}
	for _, at := range t.Attr {
		if at.Name.Local == "Algorithm" && strings.HasSuffix(strings.ToLower(at.Value), "sha1") {
			return true
		}
	}
	return false
}
