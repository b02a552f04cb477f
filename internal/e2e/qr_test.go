package e2e

import (
	"image"
	"image/color"
	"image/draw"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// scan reads the QR code on a screen as a phone does: of half blocks, each a light upper and lower module. What is no block is
// dark, as the terminal is.
func scan(t *testing.T, screen string) string {
	t.Helper()
	var rows [][]rune
	for line := range strings.SplitSeq(screen, "\n") {
		if strings.Contains(line, "█") || strings.Contains(line, "▀▀▀") || strings.Contains(line, "▄▄▄") {
			rows = append(rows, []rune(line))
		}
	}
	if len(rows) < 10 {
		t.Fatalf("no QR code on the screen:\n%s", screen)
	}
	const module, margin = 6, 40
	width := 0
	for _, r := range rows {
		width = max(width, len(r))
	}
	img := image.NewGray(image.Rect(0, 0, width*module+2*margin, 2*len(rows)*module+2*margin))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for y, r := range rows {
		for x := range width {
			cell := ' '
			if x < len(r) {
				cell = r[x]
			}
			for half, light := range []bool{cell == '█' || cell == '▀', cell == '█' || cell == '▄'} {
				if !light {
					at := image.Rect(0, 0, module, module).Add(image.Pt(margin+x*module, margin+(2*y+half)*module))
					draw.Draw(img, at, image.NewUniform(color.Black), image.Point{}, draw.Src)
				}
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("a phone can't read the QR code: %v\n%s", err, screen)
	}
	return got.GetText()
}
