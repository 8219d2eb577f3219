/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge completion: the scripts of bash, zsh and fish, and what they ask for
 * each time. The scripts know nothing: every word comes from the tables that
 * commands and options are parsed by, and from what there is.
 */
#include "cli/completion.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "vmm/machine.h"

#define FILES ":files" /* a line that stands for the names of files */
#define CHOICE_MAX 64

/* What was typed, as the shell has cut it. */
struct line {
	int words;
	char **word;
	const char *now; /* the last one */
	bool cut;	 /* the shell takes what is behind its last = alone */
};

/* --- candidates --------------------------------------------------------------- */

void completion_offer(struct completion *completion, const char *word,
		      const char *about)
{
	const char *shown = word;

	if (strncmp(word, completion->now, strlen(completion->now)))
		return;
	if (completion->cut && strrchr(completion->now, '='))
		shown += strrchr(completion->now, '=') - completion->now + 1;
	printf("%s%s%s%.*s\n", completion->before, shown, about ? "\t" : "",
	       about ? (int)strcspn(about, "\n") : 0, about ? about : "");
}

/* "auto|kvm|soft" */
static void offer_choices(struct completion *completion, const char *choices)
{
	char word[CHOICE_MAX];

	while (*choices) {
		size_t length = strcspn(choices, "|");

		snprintf(word, sizeof(word), "%.*s", (int)length, choices);
		/* Large letters are no word but stand for some. */
		if (!strcmp(word, "PATH"))
			printf(FILES "\n");
		else if (!isupper((unsigned char)word[0]))
			completion_offer(completion, word, NULL);
		choices += length + (choices[length] == '|');
	}
}

static void offer_commands(struct completion *completion)
{
	for (size_t i = 0; i < cli_command_count; i++)
		completion_offer(completion, cli_commands[i]->name,
				 cli_commands[i]->summary);
}

static void offer_verbs(struct completion *completion,
			const struct command *noun)
{
	for (size_t i = 0; i < noun->verb_count; i++)
		completion_offer(completion, noun->verbs[i]->name,
				 noun->verbs[i]->summary);
}

/* Words that are always the same, by kind. */
static const struct {
	const char *kind, *choices;
} fixed[] = {
	{ "disk", "disk|share" },
	{ "drive", "cd1|cd2|floppy1|floppy2" },
	{ "action", "poweroff|reboot|set-time|freeze" },
	{ "limit", "iops=|bps=|burst=" },
};

static void offer_kind(struct completion *completion, const char *kind)
{
	if (!strcmp(kind, "file") || !strcmp(kind, "guestfile"))
		printf(FILES "\n");
	if (!strcmp(kind, "command"))
		offer_commands(completion);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!strcmp(kind, fixed[i].kind))
			offer_choices(completion, fixed[i].choices);
	completion_offer_kept(completion, kind);
}

/* --- options ------------------------------------------------------------------- */

static const struct option_spec *find_option(const struct command *command,
					     const char *word)
{
	size_t length;

	if (strncmp(word, "--", 2))
		return NULL;
	length = strcspn(word += 2, "=");
	for (size_t i = 0; i < command->option_count; i++)
		if (strlen(command->options[i].name) == length &&
		    !strncmp(command->options[i].name, word, length))
			return &command->options[i];
	return NULL;
}

static bool begins(const char *text, const char *const *heads)
{
	for (; *heads; heads++)
		if (!strncmp(text, *heads, strlen(*heads)))
			return true;
	return false;
}

/* By its choices, else by what the help calls its value. */
static void offer_value(struct completion *completion,
			const struct option_spec *option)
{
	static const char *const files[] = { "FILE", "PATH", "DIR", "FOLDER",
					     "ISO",  "IMG",  NULL };
	static const char *const networks[] = { "NETWORK", NULL };
	static const char *const formats[] = { "FORMAT", NULL };
	static const struct {
		const char *option, *choices;
	} modes[] = {
		{ "net", "user|tap|none|network=|switch=|bridge=|socket=" },
		{ "display", "std|none|vnc=" },
		{ "serial", "stdio|pty|none|file:|unix:" },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(option->name, modes[i].option))
			offer_choices(completion, modes[i].choices);
	if (strchr(option->value, '|'))
		offer_choices(completion, option->value);
	else if (begins(option->value, files))
		printf(FILES "\n");
	else if (begins(option->value, networks))
		offer_kind(completion, "network");
	else if (begins(option->value, formats))
		offer_kind(completion, "format");
	/* "network=lab", of --net */
	if (!strncmp(completion->now, "network=", 8))
		offer_kind(completion, "network=");
}

static bool was_given(const struct line *line, const char *name)
{
	for (int i = 0; i + 1 < line->words; i++)
		if (!strncmp(line->word[i], "--", 2) &&
		    strcspn(line->word[i] + 2, "=") == strlen(name) &&
		    !strncmp(line->word[i] + 2, name, strlen(name)))
			return true;
	return false;
}

static void offer_options(struct completion *completion,
			  const struct command *command,
			  const struct line *line)
{
	char name[CHOICE_MAX];

	for (size_t i = 0; i < command->option_count; i++) {
		const struct option_spec *option = &command->options[i];

		if (!option->help)
			continue;
		if (!option->repeats && was_given(line, option->name))
			continue;
		snprintf(name, sizeof(name), "--%s", option->name);
		completion_offer(completion, name, option->help);
	}
	completion_offer(completion, "--help", "explain it");
}

/* --- words ---------------------------------------------------------------------- */

/* The kind of the word at `index` of "vm image"; the last one repeats. */
static void word_kind(char kind[CHOICE_MAX], const char *words, int index)
{
	kind[0] = '\0';
	while (words && *words) {
		size_t length = strcspn(words, " ");

		snprintf(kind, CHOICE_MAX, "%.*s", (int)length, words);
		words += length + (words[length] == ' ');
		if (!index--)
			break;
	}
}

/* The words before the last: how many there are, and which option waits for
 * its value. */
static int count_words(const struct command *command, const struct line *line,
		       const struct option_spec **open, bool *program)
{
	int count = 0;

	*open = NULL;
	*program = false;
	for (int i = 0; i + 1 < line->words; i++) {
		const char *word = line->word[i];
		const struct option_spec *option = find_option(command, word);

		if (*open)
			*open = NULL;
		else if (!strcmp(word, "--"))
			*program = true;
		else if (option && option->value && !strchr(word, '='))
			*open = option;
		else if (word[0] != '-' || *program)
			count++;
	}
	return count;
}

/* The last word of `line`, which are those of `command`. */
static void complete_word(struct completion *completion,
			  const struct command *command,
			  const struct line *line)
{
	const struct option_spec *open, *option;
	char kind[CHOICE_MAX], before[CHOICE_MAX];
	bool program;
	int index = count_words(command, line, &open, &program);

	option = find_option(command, line->now);
	if (open) {
		offer_value(completion, open);
	} else if (option && option->value && strchr(line->now, '=')) {
		snprintf(before, sizeof(before), "--%s=", option->name);
		completion->before = line->cut ? "" : before;
		completion->now = strchr(line->now, '=') + 1;
		offer_value(completion, option);
	} else if (program) {
		printf(FILES "\n");
	} else if (line->now[0] == '-') {
		offer_options(completion, command, line);
	} else if (index < command->words_max) {
		word_kind(kind, command->words, index);
		offer_kind(completion, kind);
	}
}

static const struct command *find(const struct command *const *list,
				  size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i]->name, name))
			return list[i];
	return NULL;
}

static void complete(struct line *line)
{
	struct completion completion = { .now = line->now, .before = "",
					 .cut = line->cut };
	const struct command *command;

	if (line->words == 1) {
		offer_commands(&completion);
		return;
	}
	command = find(cli_commands, cli_command_count, line->word[0]);
	if (command && command->verbs && line->words == 2) {
		offer_verbs(&completion, command);
		return;
	}
	if (command && command->verbs) {
		command = find(command->verbs, command->verb_count,
			       line->word[1]);
		line->word++;
		line->words--;
	}
	line->word++;
	line->words--;
	if (command)
		complete_word(&completion, command, line);
}

/*
 * bash makes three words of "--engine=so". They are put together again, in
 * `text`, and the last is answered without what is before its last =.
 */
static void join(struct line *line, char *text, size_t size)
{
	char **word = line->word;
	int kept = 0;

	for (int i = 0; i < line->words; i++) {
		bool more = i && kept && (!strcmp(word[i], "=") ||
					  !strcmp(word[i - 1], "="));

		line->cut = more;
		if (!more) {
			word[kept++] = word[i];
			continue;
		}
		if (word[kept - 1] != text)
			snprintf(text, size, "%s", word[kept - 1]);
		snprintf(text + strlen(text), size - strlen(text), "%s",
			 word[i]);
		/* Only the last one counts. */
		word[kept - 1] = i + 1 < line->words ? strdup(text) : text;
	}
	line->words = kept;
	line->now = word[kept - 1];
}

/* --- the command ------------------------------------------------------------------ */

static const char bash_script[] =
	"# Put it where bash finds it: lodge completion bash >"
	"~/.local/share/bash-completion/completions/lodge\n"
	"_lodge()\n"
	"{\n"
	"	local line now=${COMP_WORDS[COMP_CWORD]}\n"
	"	[[ $now == = ]] && now=\n"
	"	COMPREPLY=()\n"
	"	while IFS= read -r line; do\n"
	"		if [[ $line == " FILES " ]]; then\n"
	"			compopt -o filenames 2>/dev/null\n"
	"			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < "
	"<(compgen -f -- \"$now\")\n"
	"		else\n"
	"			line=${line%%$'\\t'*}\n"
	"			[[ $line == *[=:] ]] && "
	"compopt -o nospace 2>/dev/null\n"
	"			COMPREPLY+=(\"$line\")\n"
	"		fi\n"
	"	done < <(\"${COMP_WORDS[0]}\" completion words -- "
	"\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _lodge lodge\n";

static const char zsh_script[] =
	"#compdef lodge\n"
	"# Put it where zsh finds it: lodge completion zsh >"
	"\"${fpath[1]}/_lodge\"\n"
	"_lodge()\n"
	"{\n"
	"	local -a found\n"
	"	local line files=\n"
	"	while IFS= read -r line; do\n"
	"		if [[ $line == " FILES " ]]; then\n"
	"			files=yes\n"
	"		else\n"
	"			found+=(\"${${line%%$'\\t'*}//:/\\\\:}"
	"${${(M)line:#*$'\\t'*}:+:${line#*$'\\t'}}\")\n"
	"		fi\n"
	"	done < <(\"${words[1]}\" completion words -- "
	"\"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
	"	(( $#found )) && _describe lodge found\n"
	"	[[ -n $files ]] && _files\n"
	"}\n"
	"if [[ ${funcstack[1]} == _lodge ]]; then\n"
	"	_lodge \"$@\"\n"
	"else\n"
	"	compdef _lodge lodge\n"
	"fi\n";

static const char fish_script[] =
	"# Put it where fish finds it: lodge completion fish >"
	"~/.config/fish/completions/lodge.fish\n"
	"function __lodge_complete\n"
	"	set -l words (commandline -opc) (commandline -ct)\n"
	"	for line in ($words[1] completion words -- $words[2..-1] "
	"2>/dev/null)\n"
	"		if test $line = " FILES "\n"
	"			__fish_complete_path (commandline -ct)\n"
	"		else\n"
	"			echo $line\n"
	"		end\n"
	"	end\n"
	"end\n"
	"complete -c lodge -f -a '(__lodge_complete)'\n";

static const struct command verb_bash = {
	.name = "bash",
	.summary = "print the script for bash",
	.examples = "source <(lodge completion bash)\n"
		    "lodge completion bash >~/.local/share/bash-completion/"
		    "completions/lodge",
};

static const struct command verb_zsh = {
	.name = "zsh",
	.summary = "print the script for zsh",
	.examples = "source <(lodge completion zsh)\n"
		    "lodge completion zsh >\"${fpath[1]}/_lodge\"",
};

static const struct command verb_fish = {
	.name = "fish",
	.summary = "print the script for fish",
	.examples = "lodge completion fish | source\n"
		    "lodge completion fish >~/.config/fish/completions/"
		    "lodge.fish",
};

static const struct command verb_words = {
	.name = "words",
	.synopsis = "-- WORD...",
	.summary = "tell what the last word of a line may be",
	.about = "What the scripts ask: a line for each word that the last one "
		 "may become, with a tab and what it is behind it; " FILES
		 " stands for the names of files.",
	.examples = "lodge completion words -- stop \"\"",
	.words_min = 1,
	.words_max = COMMAND_MANY,
	/* Nothing is missing: the word that is to become one may be empty. */
};

static const struct command *const verbs[] = { &verb_bash, &verb_zsh,
					       &verb_fish, &verb_words };

static int run(const struct command_context *context, int argc, char **argv)
{
	struct line line = { .word = argv + 1 };
	const struct command *verb;
	char text[4096];
	int status;

	verb = command_verb(&command_completion, argc, argv, &status);
	if (!verb)
		return status;
	status = command_take(&command_completion, verb, argc - 1, argv + 1,
			      NULL, &line.words);
	if (status >= 0)
		return status;
	if (verb == &verb_words) {
		join(&line, text, sizeof(text));
		complete(&line);
	} else {
		fputs(verb == &verb_bash ? bash_script :
		      verb == &verb_zsh	 ? zsh_script :
					   fish_script,
		      stdout);
	}
	return MACHINE_OK;
}

const struct command command_completion = {
	.name = "completion",
	.synopsis = "VERB",
	.summary = "complete words in bash, zsh and fish",
	.about = "Prints a script by which a shell completes commands, options, "
		 "and the names of machines, images, networks and files.",
	.examples = "source <(lodge completion bash)\n"
		    "lodge completion fish | source",
	.verbs = verbs,
	.verb_count = OPTION_COUNT(verbs),
	.run = run,
};
