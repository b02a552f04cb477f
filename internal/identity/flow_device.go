package identity

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// A user code is typed from one screen into another: eight letters that are hard to mix up and make no words, as RFC 8628
// has it, 20⁸ of them.
const (
	codeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	codeLength  = 8
	pollEvery   = 5 * time.Second
	pollMore    = 5 * time.Second // for who asks too often
	pollGrace   = 500 * time.Millisecond

	// codeGuesses wrong codes from one address within codeWindow are the most: 10 in 25 thousand million at a time.
	codeGuesses = 10
	codeWindow  = 15 * time.Minute
)

// StartDevice begins a flow for a client without a browser.
func (s *Service) StartDevice(ctx context.Context, addr netip.Addr, in api.DeviceIn) (api.DeviceOut, error) {
	device, user := randomText(), newUserCode()
	_, err := s.newFlow(ctx, store.CreateLoginFlowParams{
		Kind: flowDevice, Client: clip(in.Body.Client, maxClient), Address: addr.String(), IDPName: clip(in.Body.IDP, maxName),
		UserCode: sess.HashToken(user), PollSeconds: int64(pollEvery.Seconds()), Token: sess.HashToken(device),
	}, in.Body.Org)
	if err != nil {
		return api.DeviceOut{}, err
	}
	page := s.publicURL.JoinPath("device")
	shown := user[:codeLength/2] + "-" + user[codeLength/2:]
	complete := *page
	complete.RawQuery = "code=" + shown
	return api.DeviceOut{
		DeviceCode: device, UserCode: shown, VerificationURL: page.String(), CompleteURL: complete.String(),
		ExpiresAt: s.now().Add(flowLife).UTC().Truncate(time.Second), IntervalSeconds: int64(pollEvery.Seconds()),
	}, nil
}

func newUserCode() string {
	code := make([]byte, 0, codeLength)
	for buf := make([]byte, codeLength); len(code) < codeLength; {
		_, _ = rand.Read(buf) // never fails
		for _, b := range buf {
			if limit := 256 - 256%len(codeLetters); int(b) < limit && len(code) < codeLength { // each letter as likely
				code = append(code, codeLetters[int(b)%len(codeLetters)])
			}
		}
	}
	return string(code)
}

// cleanUserCode takes away what people type beside the letters.
func cleanUserCode(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r
		}
		return -1
	}, s[:min(len(s), 64)])
}

// ClaimDevice finds the flow whose user code was typed into a browser, which has it from then on: the id of the flow. Wrong
// codes are counted by address.
func (s *Service) ClaimDevice(ctx context.Context, b Browser, code string) (string, error) {
	subject := "device:" + network(b.Addr).String()
	now := s.now()
	since := store.Micros(now.Add(-codeWindow))
	var limited *sess.Error
	id := ""
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		id, limited = "", nil
		if err := tx.Lock(ctx, "login_failure "+subject); err != nil {
			return err
		}
		times, err := tx.ListLoginFailures(ctx, subject, since, codeGuesses)
		if err != nil {
			return fmt.Errorf("count wrong codes: %w", err)
		}
		if len(times) >= codeGuesses {
			again := store.Time(times[len(times)-1]).Add(codeWindow).Sub(now).Round(time.Second)
			limited = sess.New(sess.CodeLimited, "too many wrong codes from your address", fmt.Sprintf("try again in %s", again))
			return nil
		}
		f, err := tx.GetLoginFlowByUserCode(ctx, sess.HashToken(cleanUserCode(code)), store.Micros(now))
		if err != nil && isNotFound(err) {
			return tx.AddLoginFailure(ctx, subject, store.Micros(now), hex.EncodeToString([]byte(randomText()[:10])))
		}
		if err != nil {
			return fmt.Errorf("look for login: %w", err)
		}
		if _, err := tx.BindLoginFlow(ctx, f.ID, b.hash()); err != nil {
			return fmt.Errorf("go on with login: %w", err)
		}
		id = f.ID
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case limited != nil:
		return "", s.refuse(ctx, "", b.Addr, policy.Login, "", limited)
	case id == "":
		return "", s.refuse(ctx, "", b.Addr, policy.Login, "", sess.New(sess.CodeNotFound, "this code is not known, or is over", "look at the terminal: a code is valid for 10 minutes"))
	}
	return id, nil
}
