// Package vt is a terminal without a window: it takes the output of programs, knows the screen that results, and can
// say it again as bytes that bring any fresh terminal to the same screen.
//
// It follows xterm in what programs use: the alternate screen, scroll regions, SGR with 256 and direct colours, line
// drawing, insert mode, tab stops, wide and combining characters, window titles, and every private mode that a terminal
// must be told of again (mouse, bracketed paste, focus, keypad, cursor). It never answers queries. Left out: left and
// right margins, double-size lines, sixel and other pictures, hyperlinks.
package vt
