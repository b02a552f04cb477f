package idp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

// A stranger who begins a login may send a response that nobody signed. What checks signatures took twenty seconds and ten
// gigabytes for some of these, all below the limit of bytes.
func TestSAMLResponseThatWouldTakeLongToCheck(t *testing.T) {
	t.Parallel()
	times := func(n int, part func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(part(i))
		}
		return b.String()
	}
	same := func(s string) func(int) string { return func(int) string { return s } }
	name := func(i int) string { return fmt.Sprintf(` xmlns:b%d="u"`, i) }
	for what, doc := range map[string]string{
		"nested deeply":                times(30_000, same("<a>")) + times(30_000, same("</a>")),
		"many namespaces in scope":     times(39, func(i int) string { return "<a" + name(2*i) + name(2*i+1) + ">" }) + times(39, same("</a>")),
		"many namespaces of one":       "<a" + times(6000, name) + ">" + times(20_000, same("<b/>")) + "</a>",
		"many attributes":              "<a" + times(10_000, func(i int) string { return fmt.Sprintf(` b%d="u"`, i) }) + "/>",
		"many elements":                "<a>" + times(50_000, same("<b/>")) + "</a>",
		"many comments":                "<a>" + times(30_000, same("<!-- -->")) + "</a>",
		"entities":                     `<!DOCTYPE a [<!ENTITY x "xxxxxxxx">]><a>&x;</a>`,
		"an end that nothing began":    "</a>",
		"a signature of the old times": `<a><ds:SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"/></a>`,
	} {
		if len(doc) > maxResponse {
			t.Fatalf("%s: the limit of bytes refuses it already", what)
		}
		if err := judgeShape([]byte(doc)); sess.Public(err).Code != sess.CodeUnauthenticated {
			t.Errorf("%s = %v", what, err)
		}
	}
	groups := times(MaxGroups, func(i int) string {
		return fmt.Sprintf("\n"+`<saml:AttributeValue xmlns:xs="x" xmlns:xsi="y" xsi:type="xs:string">group %d</saml:AttributeValue>`, i)
	})
	doc := times(12, func(i int) string { return fmt.Sprintf(`<a%d xmlns:n%d="u">`, i, i) }) + groups
	for i := range 12 {
		doc += fmt.Sprintf("</a%d>", 11-i)
	}
	if err := judgeShape([]byte(doc)); err != nil {
		t.Errorf("a response with as many groups as we take: %v", err)
	}
}
