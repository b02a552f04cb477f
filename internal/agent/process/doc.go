// Package process runs the processes of sessions as a user of the machine: account and login environment, PTY or pipes,
// signals, and the end of the whole tree of processes, daemonised ones included.
//
//	Lookup      name → Account (passwd, then getent)
//	Supervisor  one per agent: cgroups or, without any, a sub-reaper and marks in the environment
//	  Start     Spec → Process
//	    Wait    how its main process ended
//	    Hangup  asks the tree to end
//	    Kill    ends the tree
//	    Close   frees what is left
package process
