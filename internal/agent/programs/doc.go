// Package programs tells which programs run in sessions, with arguments, from the kernel: on Linux, by eBPF, where the
// agent may. What descends from a session's first process is seen, whatever it does to hide that; nothing else on the
// machine is looked at.
//
//	Open            loads the program (bpf/programs.bpf.c), or says why it can't
//	Watcher
//	  Follow        a Trail for a session
//	Trail
//	  Spawn         what is started within becomes the session's, before it runs
//	  Kill          the session's processes, wherever they hide
//	  Finish        waits for the last line, and sums up
//
// A Trail writes sess.ProgramLines to a writer that may block; the kernel is never held up by that. What finds no room on
// the way is counted, and said.
package programs
