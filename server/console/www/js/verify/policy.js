/*
 * The policy's text (docs/policy.md), read as strictly as a verdict needs it: a line that is not known here makes the
 * whole policy one that cannot be judged here, and never one that is believed.
 */
import { b64, equal, need, number, textOk, unb64, utf8 } from './bytes.js';
import { CLASSES, classOf } from './calls.js';
import { parseSigner, checkPoint } from './evidence.js';
import { COSIGNATURE, parseVkey } from './note.js';
import { sha256b64 } from './sha256.js';
import { timeOf } from './time.js';

const RESERVED = new Set(['and', 'none', 'deny', 'of', 'any', 'all']);
const isName = (name) => /^[A-Za-z0-9._-]{1,64}$/.test(name) && !RESERVED.has(name);
const UNITS = { s: 1, m: 60, h: 3600, d: 86400 };

/** The words of a line: parted by spaces, quotation marks keep them, # begins a comment. */
export function words(line) {
	const list = [];
	let word = null;
	let quoted = false;
	for (const c of line) {
		if (c === '#' && !quoted && word === null)
			break;
		if (c === '"')
			quoted = !quoted;
		if (c === ' ' && !quoted) {
			if (word !== null)
				list.push(word);
			word = null;
		} else {
			word = (word ?? '') + (c === '"' ? '' : c);
		}
	}
	need(!quoted && list.length < 256, 'form.policy');
	return word === null ? list : [...list, word];
}

/** A line from its first word to its last, as they stand. */
export function bare(line) {
	let end = 0;
	let quoted = false;
	let before = ' ';
	for (let n = 0; n < line.length; n++) {
		if (line[n] === '#' && !quoted && before === ' ')
			break;
		quoted = quoted !== (line[n] === '"');
		end = line[n] !== ' ' || quoted ? n + 1 : end;
		before = line[n];
	}
	return line.slice(0, end).replace(/^ +/, '');
}

export function seconds(word) {
	const value = number(word.slice(0, -1));
	need(value !== null && value > 0 && Object.hasOwn(UNITS, word.at(-1)), 'form.policy');
	return value * UNITS[word.at(-1)];
}

const HEAD = ['origin', 'version', 'previous', 'not-before', 'expires'];

class Parser {
	constructor(text) {
		this.policy = { text, people: [], clients: [], terminals: [], places: [], tokens: [], groups: new Map(), roles: new Map(),
			rules: [], witnesses: [], stances: [], shareKeys: [], limits: new Set() };
		this.line = 0;
		this.head = [];
		this.rule = null;
	}

	check(truth) {
		need(truth, 'form.policy', { line: this.line });
	}

	name(word) {
		this.check(word !== undefined && isName(word));
		return word;
	}

	count(word, most) {
		const value = number(word ?? '');
		this.check(value !== null && value >= 1 && value <= most);
		return value;
	}

	prefixed(word, prefix) {
		this.check(word?.startsWith(prefix) && word.length > prefix.length);
		return word.slice(prefix.length);
	}

	async roster(w) {
		this.check(w.length === 4);
		const one = { kind: w[0], name: this.name(w[1]), person: this.prefixed(w[2], 'person:'), key: await parseSigner(w[3]) };
		await checkPoint(one.key);
		for (const other of this.policy.people) {
			this.check((other.name === one.name) === (other.person === one.person));
			this.check(!equal(other.key.spkiSha256, one.key.spkiSha256));
			this.check(other.key.name !== one.key.name || !equal(other.key.id, one.key.id));
			this.check(other.name !== one.name || other.kind === one.kind);
		}
		this.policy.people.push(one);
	}

	peer(w) {
		const spki = b64(unb64(this.prefixed(w[0] === 'terminal' ? w[3] : w[2], 'spki:'), 32));
		const { clients, terminals } = this.policy;
		this.check(![...clients, ...terminals].some((other) => other.spki === spki));
		const list = w[0] === 'terminal' ? terminals : clients;
		this.check(!list.some((other) => other.name === w[1]));
		if (w[0] === 'terminal') {
			this.check(w.length === 4);
			list.push({ name: this.name(w[1]), person: this.prefixed(w[2], 'person:'), spki });
			return;
		}
		const at = w.includes('operators') ? w.indexOf('operators') : w.length;
		this.check(w[3] === 'tokens' && at > 4 && at + 1 !== w.length);
		const tokens = w.slice(4, at).map((word) => word.split('=')[0]);
		this.check(new Set(tokens).size === tokens.length);
		list.push({ name: this.name(w[1]), spki, tokens, operators: w.slice(at + 1) });
	}

	webauthn(w) {
		this.check((w.length === 6 || (w.length === 7 && w[6] === 'independent')) && w[2] === 'origin' && w[4] === 'rp-id');
		const host = /^https:\/\/([a-z0-9.-]+)(?::[0-9]+)?$/.exec(w[3])?.[1];
		this.check(host !== undefined && w[5] !== '' && !w[5].startsWith('.') && (host === w[5] || host.endsWith(`.${w[5]}`)));
		this.check(!this.policy.places.some((other) => other.name === w[1] || other.origin === w[3]));
		this.policy.places.push({ name: this.name(w[1]), origin: w[3], rpId: w[5], independent: w.length === 7 });
	}

	token(w) {
		this.check(w.length % 2 === 0 && !this.policy.tokens.some((other) => other.name === w[1]));
		const token = { name: this.name(w[1]) };
		for (let n = 2; n < w.length; n += 2) {
			this.check(['label', 'module', 'serial', 'model', 'manufacturer', 'firmware', 'level'].includes(w[n]) && !Object.hasOwn(token, w[n]));
			token[w[n]] = w[n + 1];
		}
		token.label ??= token.name;
		this.policy.tokens.push(token);
	}

	group(w) {
		const role = w[0] === 'role';
		const delay = role && w.length > 5 && w.at(-2) === 'delay';
		const list = role ? this.policy.roles : this.policy.groups;
		const members = w.slice(3, delay ? -2 : undefined);
		this.check(role ? ['policy', 'veto', 'recovery'].includes(w[1]) : isName(w[1] ?? ''));
		this.check((!delay || w[1] === 'recovery') && members.length > 0 && new Set(members).size === members.length && !list.has(w[1]));
		const least = this.count(w[2], 64);
		this.check(least <= members.length);
		list.set(w[1], { name: w[1], least, members, line: this.line, delay: delay ? seconds(w.at(-1)) : 72 * 3600 });
	}

	async other(w) {
		const { policy } = this;
		switch (w[0]) {
		case 'share-key': {
			this.check(w.length === 3 && !policy.shareKeys.some((one) => one.name === w[1] || one.key === w[2]));
			policy.shareKeys.push({ name: this.name(w[1]), key: b64(unb64(w[2], 32)) });
			this.check(unb64(w[2]).some((byte) => byte !== 0));
			break;
		}
		case 'witness': {
			const key = await parseVkey(w[2] ?? '', COSIGNATURE);
			this.check(w.length === 3 && policy.witnesses.length < 32);
			this.check(!policy.witnesses.some((one) => one.name === w[1] || equal(one.key.pub, key.pub)));
			policy.witnesses.push({ name: this.name(w[1]), key });
			break;
		}
		case 'stance':
			this.check(w.length === 3 && ['seal', 'degrade'].includes(w[2]) && !policy.stances.some((one) => one.token === w[1]));
			policy.stances.push({ token: w[1], stance: w[2] });
			break;
		case 'anchors':
		case 'witnesses':
			this.check(w.length === (w[0] === 'anchors' ? 5 : 6) && w.at(-4) === 'within' && w.at(-2) === 'refuse');
			this.check(['A', 'AB', 'none'].includes(w.at(-1)) && seconds(w.at(-3)) <= 90 * 86400 && !policy.limits.has(w[0]));
			policy.limits.add(w[0]);
			policy.asked = w[0] === 'witnesses' ? this.count(w[1], 32) : policy.asked;
			break;
		default:
			this.check(false);
		}
	}

	headLine(w) {
		this.check(w.length === 2 && w[0] === HEAD[this.head.length]);
		this.head.push(w[1]);
	}

	async take(line) {
		const w = words(line);
		if (w.length === 0)
			return;
		if (this.head.length < HEAD.length) {
			this.check(!line.startsWith(' '));
			this.headLine(w);
		} else if (line.startsWith(' ')) {
			this.check(this.rule !== null && w.length > 1 && !this.rule.lines.has(w[0]));
			this.rule.lines.set(w[0], w.slice(1));
			this.rule.texts.push({ key: w[0], text: bare(line) });
		} else {
			this.rule = null;
			await this.top(w);
		}
	}

	async top(w) {
		const readers = { custodian: 'roster', auditor: 'roster', client: 'peer', terminal: 'peer', webauthn: 'webauthn', token: 'token',
			group: 'group', role: 'group' };
		if (w[0] === 'rule') {
			this.check(w.length === 2 && !this.policy.rules.some((rule) => rule.name === w[1]));
			this.rule = { name: this.name(w[1]), lines: new Map(), texts: [] };
			this.policy.rules.push(this.rule);
		} else {
			await this[Object.hasOwn(readers, w[0]) ? readers[w[0]] : 'other'](w);
		}
	}

	takeHead() {
		const [origin, version, previous, notBefore, expires] = this.head;
		this.check(this.head.length === HEAD.length && !origin.startsWith('kanmon/') && !origin.includes('+') && utf8(origin).length <= 255);
		Object.assign(this.policy, { origin, version: this.count(version, Number.MAX_SAFE_INTEGER), previous,
			notBefore: timeOf(notBefore), expires: timeOf(expires) });
		this.check(this.policy.notBefore !== null && this.policy.expires !== null && this.policy.expires > this.policy.notBefore);
		this.check((previous === 'none') === (this.policy.version === 1));
		if (previous !== 'none')
			unb64(previous, 32);
	}
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/** The line of a person by name, or undefined. */
export const personOf = (policy, name) => policy.people.find((one) => one.name === name);

/** All persons of a group, those of its groups counted. */
export function membersOf(policy, group) {
	const { members } = policy.groups.get(group);
	return members.flatMap((member) => (policy.groups.has(member) ? membersOf(policy, member) : [member]));
}

function checkGroups(p) {
	const { policy } = p;
	for (const list of [policy.groups, policy.roles])
		for (const group of list.values()) {
			p.line = group.line;
			for (const member of group.members) {
				const sub = list === policy.groups ? policy.groups.get(member) : undefined;
				const person = personOf(policy, member);
				p.check((sub === undefined) !== (person === undefined) && (sub === undefined || sub.line < group.line));
				p.check(person === undefined || list === policy.roles || person.kind !== 'auditor');
			}
			if (list === policy.groups) {
				const all = membersOf(policy, group.name);
				p.check(new Set(all).size === all.length);
			}
		}
	p.check(policy.roles.has('policy'));
}

function checkNames(p) {
	const { policy } = p;
	const token = (name) => policy.tokens.some((one) => one.name === name);
	for (const client of policy.clients)
		p.check(client.tokens.every(token) && client.operators.every((name) => personOf(policy, name) !== undefined));
	p.check(policy.terminals.every((one) => policy.people.some((other) => other.person === one.person)));
	p.check(policy.stances.every((one) => token(one.token)) && policy.shareKeys.every((one) => personOf(policy, one.name) !== undefined));
	const tls = new Set([...policy.clients, ...policy.terminals].map((one) => one.spki));
	p.check(!policy.people.some((one) => tls.has(b64(one.key.spkiSha256))));
	p.check(policy.asked === undefined || policy.asked <= policy.witnesses.length);
	p.check(!policy.witnesses.some((one) => policy.people.some((other) => equal(other.key.spki.subarray(-32), one.key.pub))));
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

const RULE_LINES = new Set(['client', 'object', 'key', 'calls', 'mechanisms', 'origin', 'allow', 'need', 'independent', 'per', 'expires',
	'class', 'selfcheck', 'content']);

function readNeed(p, w) {
	if (w.length === 1 && (w[0] === 'none' || w[0] === 'deny'))
		return { need: w[0], groups: [] };
	p.check(w.length % 2 === 1 && w.every((word, n) => n % 2 === 0 || word === 'and'));
	const groups = w.filter((word, n) => n % 2 === 0);
	p.check(groups.length <= 8 && new Set(groups).size === groups.length && groups.every((name) => p.policy.groups.has(name)));
	return { need: 'groups', groups };
}

function readPer(p, w) {
	if (w.length === 1 && (w[0] === 'operation' || w[0] === 'login'))
		return { per: w[0] };
	p.check(w.length === 4 && w[0] === 'window' && w[2] === 'uses');
	return { per: 'window', seconds: seconds(w[1]), uses: p.count(w[3], 1000000) };
}

/* RFC 7512 as rules have it: token, object, id, type, each percent-encoded. */
function readObject(p, uri) {
	p.check(uri.startsWith('pkcs11:'));
	const object = {};
	for (const part of uri.slice(7).split(';').filter((one) => one !== '')) {
		const [name, ...value] = part.split('=');
		p.check(['token', 'object', 'id', 'type'].includes(name) && value.length === 1 && !Object.hasOwn(object, name));
		p.check(/^(?:[A-Za-z0-9._~:[\]@!$'()*+,=&/-]|%[0-9A-Fa-f]{2})*$/.test(value[0]));
		object[name] = name === 'id' ? value[0].replace(/%([0-9A-Fa-f]{2})|(.)/g, (all, code, c) =>
			(code ?? c.charCodeAt(0).toString(16)).toLowerCase()) : decodeURIComponent(value[0]);
	}
	p.check(object.token === undefined || p.policy.tokens.some((one) => one.name === object.token));
	return object;
}

function readRule(p, rule) {
	const line = (key, otherwise) => rule.lines.get(key) ?? otherwise;
	p.check([...rule.lines.keys()].every((key) => RULE_LINES.has(key)));
	for (const key of ['client', 'calls', 'need'])
		p.check(rule.lines.has(key));
	const clients = line('client');
	p.check(clients.every((name) => p.policy.clients.some((one) => one.name === name)));
	const calls = line('calls');
	p.check(calls.every((word) => Object.hasOwn(CLASSES, word) || classOf(word) !== undefined));
	p.check(!rule.lines.has('mechanisms') || line('mechanisms').join(' ') === 'any' || line('mechanisms').every((word) => /^CKM_[A-Z0-9_]+$/.test(word)));
	p.check(['any', 'tbs-certificate', 'tbs-crl', 'csr', 'ocsp-response', 'tst-info', 'cms-signed-attributes'].includes(line('content', ['any'])[0]) &&
		line('content', ['any']).join(' ').startsWith('any ') === false && line('expires', ['']).length === 1);
	p.check(/^(?:all|sample [0-9]{1,7})$/.test(line('selfcheck', ['all']).join(' ')));
	const durability = line('class', ['A']).join(' ');
	const needs = readNeed(p, line('need'));
	const independent = number(line('independent', ['0']).join(' '));
	p.check((durability === 'A' || durability === 'B') && independent !== null && independent <= 64);
	const per = readPer(p, line('per', ['operation']));
	p.check((needs.need === 'groups' || per.per === 'operation') && (needs.need !== 'groups' || durability === 'A'));
	p.check(per.per !== 'login' || calls.every((word) => word === 'login' || classOf(word) === 'login'));
	p.check(per.per !== 'window' || per.seconds <= 366 * 86400);
	p.check(needs.need !== 'groups' || isMet(p.policy, needs, needs.groups.flatMap((name) => membersOf(p.policy, name))));
	p.check(!rule.lines.has('expires') || seconds(line('expires')[0]) <= 90 * 86400);
	const mechanisms = line('mechanisms', null);
	p.check(line('origin', ['local']).join(' ') === 'local' && line('allow', []).every((word) => ['import', 'extractable'].includes(word)));
	return {
		name: rule.name, texts: rule.texts, clients, calls, durability, independent, ...needs, per,
		objects: line('object', []).map((uri) => readObject(p, uri)),
		keys: line('key', []).map((word) => b64(unb64(p.prefixed(word, 'spki:'), 32))),
		mechanisms: mechanisms?.join(' ') === 'any' ? null : mechanisms,
		anyMechanism: mechanisms?.join(' ') === 'any',
		local: rule.lines.has('origin'),
		allow: new Set(line('allow', [])),
		lifetime: rule.lines.has('expires') ? seconds(line('expires')[0]) : 86400,
		content: line('content', ['any']),
	};
}

/** The policy that a text is; Bad('form.policy', {line}) where it is none. */
export async function parsePolicy(text) {
	const p = new Parser(text);
	const lines = text.split('\n');
	need(utf8(text).length <= 262144 && lines.pop() === '' && lines.length <= 8192, 'form.policy', { line: 0 });
	for (const line of lines) {
		p.line++;
		p.check(textOk(line) && utf8(line).length < 4096);
		if (p.line === 1)
			p.check(line === 'kanmon/policy/v1');
		else
			await p.take(line);
	}
	p.takeHead();
	checkGroups(p);
	checkNames(p);
	p.policy.rules = p.policy.rules.map((rule) => readRule(p, rule));
	p.policy.sha256 = await sha256b64(text);
	return p.policy;
}

/* ---- who is enough ------------------------------------------------------------------------------------------------ */

/* Can these persons fill all places, each person one? */
function fills(places, persons) {
	const holder = new Map();
	const seat = (place, tried) => persons.some((person) => {
		if (!places[place].includes(person) || tried.has(person))
			return false;
		tried.add(person);
		if (holder.has(person) && !seat(holder.get(person), tried))
			return false;
		holder.set(person, place);
		return true;
	});
	return places.every((_, place) => seat(place, new Set()));
}

/* Which groups of a group count is tried in every way; persons fill the rest. */
function tryWays(policy, open, places, persons) {
	if (open.length === 0)
		return fills(places, persons);
	const [group, ...rest] = open;
	const subs = group.members.filter((member) => policy.groups.has(member)).map((member) => policy.groups.get(member));
	const own = group.members.filter((member) => !policy.groups.has(member));
	for (let way = 0; way < 2 ** subs.length; way++) {
		const chosen = subs.filter((_, n) => Math.floor(way / 2 ** n) % 2 === 1);
		const direct = group.least - chosen.length;
		if (direct >= 0 && direct <= own.length &&
			tryWays(policy, [...rest, ...chosen], [...places, ...Array.from({ length: direct }, () => own)], persons))
			return true;
	}
	return false;
}

/** Is what the rule needs met by these persons (names), each counted once? */
export function isMet(policy, rule, names) {
	return tryWays(policy, rule.groups.map((name) => policy.groups.get(name)), [], [...new Set(names)]);
}
