package sess

import "strings"

// SpreadsheetText keeps a spreadsheet from taking a field of a CSV file for a formula: names, reasons and tags are what somebody
// wrote.
func SpreadsheetText(s string) string {
	if t := strings.TrimLeft(s, " \u00a0\ufeff"); t != "" && strings.ContainsRune("=+-@\t\r\n|＝＋－＠", []rune(t)[0]) {
		return "'" + s
	}
	return s
}
