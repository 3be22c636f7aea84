/* The trust file (docs/ledger.md 9), its witnesses (c2sp.org/tlog-policy), and trust that is kept without one. */
import { equal, need, textOk, unb64, utf8 } from './bytes.js';
import { COSIGNATURE, ED25519, parseVkey } from './note.js';

function check(truth, line) {
	need(truth, 'form.trust', { line });
}

/* Witnesses and groups by name; what is met is asked of quorumMet(). */
class Witnesses {
	constructor() {
		Object.assign(this, { logs: [], keys: [], groups: [], names: new Map(), members: new Set(), quorum: undefined });
	}

	define(name, what, line) {
		check(name !== 'none' && !this.names.has(name), line);
		this.names.set(name, what);
	}

	async addKey(list, words, type, line) {
		check(list.length < 32 && words.length >= 1 && words.length <= 2, line);
		const key = await parseVkey(words[0], type);
		check(!list.some((other) => equal(other.pub, key.pub)), line);
		list.push(key);
		return key;
	}

	addGroup([name, how, ...names], line) {
		check(this.groups.length < 32 && names.length > 0, line);
		for (const member of names) {
			check(this.names.has(member) && !this.members.has(member), line);
			this.members.add(member);
		}
		const least = how === 'any' ? 1 : how === 'all' ? names.length : /^[1-9][0-9]?$/.test(how) ? Number(how) : 0;
		check(least >= 1 && least <= names.length, line);
		const group = { least, members: names.map((member) => this.names.get(member)) };
		this.groups.push(group);
		this.define(name, group, line);
	}

	async take(words, line) {
		switch (words[0]) {
		case 'log':
			await this.addKey(this.logs, words.slice(1), ED25519, line);
			break;
		case 'witness':
			check(words.length >= 3, line);
			this.define(words[1], await this.addKey(this.keys, words.slice(2), COSIGNATURE, line), line);
			break;
		case 'group':
			check(words.length >= 4, line);
			this.addGroup(words.slice(1), line);
			break;
		default:
			check(words[0] === 'quorum' && words.length === 2 && this.quorum === undefined, line);
			check(words[1] === 'none' || this.names.has(words[1]), line);
			this.quorum = words[1] === 'none' ? null : this.names.get(words[1]);
		}
	}
}

/** Is the quorum met by these keys (of trust.witnesses)? Without a quorum: yes. */
export function quorumMet(quorum, signed) {
	if (quorum === null)
		return true;
	return quorum.members === undefined ? signed.includes(quorum)
		: quorum.members.filter((member) => quorumMet(member, signed)).length >= quorum.least;
}

function readAsked(line, number, asked) {
	const tsa = /^tsa ([^ ]{1,64}) ([^ ]+)$/.exec(line);
	if (tsa !== null) {
		check(asked.tsa.length < 16 && textOk(tsa[1]), number);
		asked.tsa.push({ name: tsa[1], root: unb64(tsa[2], 32) });
	} else {
		check(/^anchor-gap [1-9][0-9]{0,8}$/.test(line) && asked.gap === null, number);
		asked.gap = Number(line.slice(11));
	}
}

/**
 * What a trust file says: {origin, policySha256 (base64), log (vkey), key (parsed), witnesses, quorum, tsa}.
 * Bad('form.trust', {line}).
 */
export async function parseTrust(text) {
	check(utf8(text).length <= 65536 && text.endsWith('\n'), 1);
	const lines = text.split('\n').slice(0, -1);
	const value = (number, key) => {
		check(lines[number]?.startsWith(`${key} `), number + 1);
		return lines[number].slice(key.length + 1);
	};
	check(lines[0] === 'kanmon/trust/v1', 1);
	const trust = await pinnedTrust({ origin: value(1, 'origin'), policySha256: value(2, 'policy-sha256'), log: value(3, 'log') });
	const asked = { tsa: [], gap: null };
	const witnesses = new Witnesses();
	let at = 4;
	for (; lines[at] !== '' && at < lines.length; at++)
		readAsked(lines[at], at + 1, asked);
	check(at < lines.length, at);
	for (at++; at < lines.length; at++) {
		check(!/[\u0000-\u0008\u000a-\u001f\u007f]/.test(lines[at]), at + 1);
		const words = lines[at].split(/[ \t]+/).filter((word) => word !== '');
		if (words.length > 0 && !words[0].startsWith('#'))
			await witnesses.take(words, at + 1);
	}
	check(witnesses.quorum !== undefined, lines.length);
	check(witnesses.logs.length === 0 || witnesses.logs.some((log) => equal(log.pub, trust.key.pub)), lines.length);
	return { ...trust, witnesses: witnesses.keys, quorum: witnesses.quorum, tsa: asked.tsa };
}

/** Trust in three values that were compared by people: asks for neither witnesses nor time stamps. */
export async function pinnedTrust({ origin, policySha256, log }) {
	check(origin.length > 0 && utf8(origin).length <= 255 && textOk(origin), 2);
	unb64(policySha256, 32);
	const key = await parseVkey(log, ED25519);
	check(key.name === origin, 4);
	return { origin, policySha256, log, key, witnesses: [], quorum: null, tsa: [] };
}
