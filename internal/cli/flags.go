package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sessctl/sess/internal/sess"
)

// durationFlag is a flag's duration, as people write it everywhere: 90s, 15m, 12h, 30d.
type durationFlag time.Duration

func (d *durationFlag) Type() string { return "TIME" }

func (d *durationFlag) String() string {
	switch v := time.Duration(*d); {
	case v == 0:
		return ""
	case v%time.Second != 0:
		return v.String()
	default:
		return sess.FormatDuration(v)
	}
}

func (d *durationFlag) Set(text string) error {
	v, err := sess.ParseDuration(text)
	if err != nil { // 0s, or parts of a second: the command says whether it takes them
		if v, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is no duration: write it like 90s, 15m, 12h or 30d", text)
		}
	}
	*d = durationFlag(v)
	return nil
}

// duration adds a flag that takes a duration.
func duration(fs *pflag.FlagSet, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	fs.Var((*durationFlag)(to), name, usage)
}

// momentFlag is a flag's time. It is kept as it was written: how long ago something was is another time at the next look.
type momentFlag struct {
	a    *app
	text *string
}

func (m momentFlag) Type() string   { return "TIME" }
func (m momentFlag) String() string { return "" }

func (m momentFlag) Set(text string) error {
	if _, err := m.a.moment(text); err != nil {
		return err
	}
	*m.text = text
	return nil
}

// period adds --since and --until; nothing but since where until is nil.
func (a *app) period(fs *pflag.FlagSet, since, until *string, sinceHelp, untilHelp string) {
	fs.Var(momentFlag{a, since}, "since", sinceHelp+": "+sess.MomentHelp)
	if until != nil {
		fs.Var(momentFlag{a, until}, "until", untilHelp)
	}
}

// choiceFlag is a flag that takes one of a few words.
type choiceFlag[T ~string] struct {
	to *T
	of []T
}

func (f choiceFlag[T]) Type() string   { return "string" }
func (f choiceFlag[T]) String() string { return string(*f.to) }

func (f choiceFlag[T]) Set(text string) error {
	if !slices.Contains(f.of, T(text)) {
		return fmt.Errorf("%q is none of %s", text, wordList(f.of))
	}
	*f.to = T(text)
	return nil
}

// choice adds a flag that takes one of a few words, and completes them.
func choice[T ~string](c *cobra.Command, to *T, name string, value T, usage string, of ...T) {
	*to = value
	c.Flags().Var(choiceFlag[T]{to, of}, name, usage+": "+wordList(of))
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// wordList is words as a sentence has them: a, b or c.
func wordList[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// flagError says in our words what the flag library says in those of its authors.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		cause := errors.Unwrap(err)
		if e := (*sess.Error)(nil); errors.As(err, &e) {
			cause = fmt.Errorf("%s: %s", e.Message, e.Hint)
		}
		if e := (*strconv.NumError)(nil); errors.As(err, &e) {
			cause = fmt.Errorf("%q is no number", value.GetValue())
		}
		err = fmt.Errorf("--%s: %w", value.GetFlag().Name, cause)
	}
	return &usageError{cmd: cmd, err: err}
}

// groupError says which flags exclude each other, or are missing; nil for other errors.
func groupError(cmd *cobra.Command, err error) error {
	text := err.Error()
	_, set, found := strings.Cut(text, "none of the others can be; [")
	if found {
		set, _, _ = strings.Cut(set, "]")
		names := strings.Fields(set)
		for i := range names {
			names[i] = "--" + names[i]
		}
		return usagef(cmd, "%s don't go together", strings.Join(names, " and "))
	}
	if missing, ok := strings.CutPrefix(text, "required flag(s) "); ok {
		names, _, _ := strings.Cut(missing, " not set")
		return usagef(cmd, "say --%s", strings.ReplaceAll(strings.ReplaceAll(names, `"`, ""), ", ", " and --"))
	}
	return nil
}
