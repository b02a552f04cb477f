package e2e

import (
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"
	"github.com/rogpeppe/go-internal/testscript"
)

// totpStep is how long a code of an authenticator app is the present one.
const totpStep = 30 * time.Second

// cmdTOTP is the person's phone: "totp SECRET-FILE CODE-FILE N" writes the code that the app shows N steps from now. A script uses
// -1, 0 and 1, in this order, for a code serves once; it waits for the beginning of a step when this one is nearly over, so
// that -1 is still accepted.
func cmdTOTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: totp SECRET-FILE CODE-FILE N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	secret := strings.TrimSpace(ts.ReadFile(args[0]))
	if left := time.Until(time.Now().Truncate(totpStep).Add(totpStep)); n < 0 && left < totpStep/2 {
		<-time.After(left)
	}
	step := time.Now().Unix()/int64(totpStep/time.Second) + int64(n)
	code, err := hotp.GenerateCode(secret, uint64(step))
	ts.Check(err)
	cmdSh(ts, false, []string{"0", "echo " + code + " >" + args[1]})
}
