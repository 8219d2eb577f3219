/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the agent's protocol; docs/agent.md tells what they mean. Both ends
 * greet, then the host sends one request, a connection each.
 *
 * A frame is a little-endian word, its type in the low 8 bits and the size of
 * what follows in the others, and that many bytes. Numbers are little-endian.
 */
#ifndef LODGE_AGENT_PROTOCOL_H
#define LODGE_AGENT_PROTOCOL_H

#define AGENT_PORT     700 /* of the guest; below 1024: its root's alone */
#define AGENT_GREETING "lodge-agent 1\n"

#define AGENT_FRAME_HEAD 4u
#define AGENT_FRAME_MAX	 131072u /* bytes behind the head */
#define AGENT_DATA_MAX	 32768u	 /* of one frame of data */
#define AGENT_WINDOW	 131072u /* bytes of input under way */
#define AGENT_WORDS_MAX	 1048576u /* bytes of all words of a command */
#define AGENT_TEXT_MAX	 400	  /* of a line for people */
#define AGENT_NAME_MAX	 255
#define AGENT_DEPTH_MAX	 200 /* folders within each other */

enum agent_frame {
	/* Before a request: what it is about. */
	AGENT_WORD = 1,	   /* of a command; a path */
	AGENT_VARIABLE,	   /* NAME=VALUE */
	AGENT_FOLDER,	   /* to work in */
	AGENT_USER,	   /* to be */
	AGENT_TERMINAL,	   /* u16 rows, u16 columns */

	/* Requests. */
	AGENT_EXEC = 16,   /* the words; without any: a login shell */
	AGENT_GET,	   /* the file at the word */
	AGENT_PUT,	   /* to the place at the word */
	AGENT_FACTS,
	AGENT_POWER,	   /* u8: 0 off, 1 reboot */
	AGENT_SET_TIME,	   /* u64 ns since 1970 */
	AGENT_FREEZE,	   /* until thawed, or the connection's end */
	AGENT_CONNECT,	   /* u16 port of the guest's own TCP */
	AGENT_MOUNT,	   /* a shared folder: the word "rw:TAG:FOLDER" */
	AGENT_UNMOUNT,	   /* u8: 1, though it is in use; word: the folder */

	/* While it runs, from the host. */
	AGENT_INPUT = 32,  /* bytes; none: the end */
	AGENT_SIGNAL,	   /* u8 */
	AGENT_RESIZE,	   /* u16 rows, u16 columns */
	AGENT_THAW,

	/* From the guest. */
	AGENT_STARTED = 64,
	AGENT_OUTPUT,	   /* bytes */
	AGENT_ERRORS,	   /* bytes of standard error */
	AGENT_TAKEN,	   /* u32 bytes of input that went on */
	AGENT_EXITED,	   /* u8 status */
	AGENT_KILLED,	   /* u8 signal */
	AGENT_FAILED,	   /* u32 errno, a line for people */
	AGENT_DONE,	   /* u32, how many */
	AGENT_FACT,	   /* NAME=VALUE */

	/* Trees of files, either way. */
	AGENT_TREE_FOLDER = 96, /* struct agent_entry, name; then what is in it */
	AGENT_TREE_UP,		/* the folder's end */
	AGENT_TREE_FILE,	/* the same, then data of this size */
	AGENT_TREE_DATA,
	AGENT_TREE_LINK,	/* the same, then its target */
	AGENT_TREE_SKIPPED,	/* a line for people: what is left out */
	AGENT_TREE_END,
};

#endif
