/* The policy's text (docs/policy.md), read as far as the pages need it: who is who, and what a rule says. */

/* A note's text: everything before its empty line. */
export const noteText = (note) => note.slice(0, note.lastIndexOf('\n\n') + 1);
export const noteSigners = (note) => [...note.slice(note.lastIndexOf('\n\n') + 2).matchAll(/^— (\S+) /gm)].map((m) => m[1]);

/* The words of a line: quotation marks keep spaces and # and are dropped; # at the beginning of a word ends it. */
export function words(line) {
	const found = [];
	let word = null, quoted = false;

	for (const character of line) {
		if (!quoted && character === '#' && word === null)
			break;
		if (character === '"') {
			quoted = !quoted;
			word ??= '';
		} else if (character === ' ' && !quoted) {
			if (word !== null)
				found.push(word);
			word = null;
		} else {
			word = (word ?? '') + character;
		}
	}
	return word === null ? found : [...found, word];
}

/* {head: {origin, version, ..}, lines: [{words, text}], rules: [{name, lines: [{words, text}]}]} */
export function readPolicy(text) {
	const policy = { head: {}, lines: [], rules: [], text };

	for (const raw of text.split('\n').slice(1)) {
		const parts = words(raw);
		if (parts.length === 0)
			continue;
		const line = { words: parts, text: raw.trim() };
		if (raw.startsWith(' '))
			policy.rules.at(-1)?.lines.push(line);
		else if (parts[0] === 'rule')
			policy.rules.push({ name: parts[1], lines: [] });
		else if (['origin', 'version', 'previous', 'not-before', 'expires'].includes(parts[0]))
			policy.head[parts[0]] = parts[1];
		else
			policy.lines.push(line);
	}
	return policy;
}

export const linesOf = (policy, key) => policy.lines.filter((line) => line.words[0] === key).map((line) => line.words);
export const ruleOf = (policy, name) => policy.rules.find((rule) => rule.name === name) ?? null;

/* The persons of a group, groups inside it resolved. */
export function personsOf(policy, group) {
	const line = linesOf(policy, 'group').find((parts) => parts[1] === group);

	if (line === undefined)
		return [];
	const isGroup = (name) => linesOf(policy, 'group').some((parts) => parts[1] === name);
	return [...new Set(line.slice(3).flatMap((name) => (isGroup(name) ? personsOf(policy, name) : [name])))];
}

/* Who operates a client: they do not vote on what it asks. */
export function operatorsOf(policy, client) {
	const line = linesOf(policy, 'client').find((parts) => parts[1] === client) ?? [];
	const at = line.indexOf('operators');

	return at < 0 ? [] : line.slice(at + 1);
}

/* For each group that a rule needs: {group, least, persons}. */
export function needsOf(policy, rule) {
	const line = rule?.lines.find((entry) => entry.words[0] === 'need')?.words ?? [];

	return line.slice(1).filter((word) => !['and', 'none', 'deny'].includes(word)).map((group) => ({
		group,
		least: Number(linesOf(policy, 'group').find((parts) => parts[1] === group)?.[2] ?? 0),
		persons: personsOf(policy, group),
	}));
}

export const roleOf = (policy, name) => {
	const line = linesOf(policy, 'role').find((parts) => parts[1] === name);
	return line === undefined ? null : { least: Number(line[2]), persons: line.slice(3) };
};

/* The policy's line for this page. */
const placeOf = (policy, origin) => linesOf(policy, 'webauthn').find((parts) => parts[parts.indexOf('origin') + 1] === origin);
/* Does what is signed at this page count for a rule's `independent`? */
export const isIndependent = (policy, { origin }) => placeOf(policy, origin)?.at(-1) === 'independent';

/* The name that security keys answer for here: as that line has it, else the page's host. */
export function relyingPartyOf(policy, { origin, hostname }) {
	const line = placeOf(policy, origin);

	return line === undefined ? hostname : line[line.indexOf('rp-id') + 1];
}
