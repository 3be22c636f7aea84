/*
 * The statement that people sign, made again from the recorded request, the policy and a head (docs/statements.md 1), and
 * turned into a rejection or veto. What its `input` lines say of the data comes from content.js.
 */
import { b64, need, Unknown, utf8 } from './bytes.js';
import { decodeContent } from './content.js';
import { hashOf, normOf } from './norm.js';
import { get } from './record.js';
import { timeText } from './time.js';
import { escaped, flatten, isValue, value } from './value.js';

const FIRST = 'kanmon/approval/v1\n';
const text = (object, ...names) => {
	const found = get(object, ...names);
	return typeof found === 'string' ? found : undefined;
};

const said = (scalar, specials) => (typeof scalar === 'string' ? escaped(scalar, specials) : String(scalar));

function paramsLine(mech) {
	const params = get(mech, 'params');
	const parts = params === undefined ? [] : flatten(params, typeof params === 'object' && !Array.isArray(params) ? '' : 'value');
	const line = parts.map(([name, scalar]) => `${name}=${said(scalar, ' =')}`).join(' ');
	if (utf8(line).length > 1024)
		return `sha256 ${text(mech, 'params_sha256') ?? 'none'}`;
	return line === '' ? 'none' : line;
}

/**
 * What the data is: {norm, isData, content}. `content` is null where it decodes to nothing; `unknown` is what this browser
 * cannot tell of it (an Unknown), and then the others say nothing.
 */
export async function materialOf(body, blobs) {
	const norm = normOf(body);
	const data = blobs.get(text(body, 'in', 'sha256'));
	const econtent = blobs.get(text(body, 'econtent', 'sha256'));
	const nothing = { norm, isData: false, content: null, unknown: null };
	if (norm === null || data === undefined)
		return nothing;
	try {
		if (await hashOf(norm, data) === null)
			return nothing;
		return { ...nothing, isData: true, content: await decodeContent(data, econtent) };
	} catch (error) {
		if (!(error instanceof Unknown))
			throw error;
		return { ...nothing, unknown: error };
	}
}

/* `recorded`: the lines that stand there, where this browser cannot make them. */
function inputLines(body, material, recorded) {
	const template = get(body, 'template');
	const { norm, isData, content } = material;
	const rows = [];
	if (material.unknown !== null)
		return recorded.split('\n').filter((line) => /^input(?:-kind)? /.test(line));
	if (norm !== null && !isData)
		rows.push('input-kind digest', `input hash ${norm.hash === '' ? 'none' : norm.hash}`, `input digest ${b64(norm.digest)}`);
	else if (norm !== null && content !== null)
		rows.push(`input-kind ${content.input}`, ...content.lines.map((line) => `input ${line}`));
	else
		rows.push(`input-kind ${get(body, 'in') !== undefined ? 'data' : template !== undefined ? 'template' : 'none'}`);
	for (const [name, scalar] of template === undefined ? [] : flatten(template)) {
		const line = said(scalar, '');
		need(utf8(line).length <= 1024, 'statement.line', { line: 'input' });
		rows.push(`input ${name} ${line === '' ? 'none' : line}`);
	}
	return rows;
}

async function keyLines(key) {
	const token = await Promise.all(['token', 'serial'].filter((name) => text(key, name) !== undefined).map((name) => value(key[name])));
	if (text(key, 'token') === undefined)
		token.unshift('none');
	return [`token ${token.join(' ')}`, `key-class ${await value(text(key, 'class'))}`, `key-label ${await value(text(key, 'label'))}`,
		`key-id ${await value(text(key, 'id'))}`, `key-spki-sha256 ${await value(text(key, 'spki_sha256'))}`];
}

async function loginLines(login) {
	if (login === undefined)
		return [];
	const rows = [`user ${await value(text(login, 'user'))}`];
	if (text(login, 'pin') !== 'sealed')
		return [...rows, `pin ${await value(text(login, 'pin'))}`];
	return [...rows, `pin sealed ${login.least} of ${login.of} ${login.sealed_sha256}`, `activation-key ${login.key}`];
}

async function applicationLines(application, material, recorded) {
	if (application === undefined)
		return [];
	const rows = application.id === undefined ? [] : [`application ${await value(application.id)}`];
	const told = material.unknown === null ? (material.content?.facts.key !== undefined ? 'matches' : 'unchecked')
		: lineOf(recorded, 'applicant-key')?.split(' ')[1];
	if (application.key_spki_sha256 !== undefined)
		rows.push(`applicant-key ${application.key_spki_sha256} ${told}`);
	return rows;
}

function windowLine({ seconds, uses }) {
	const [unit, letter] = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']].find(([size]) => seconds % size === 0);
	return `per window ${seconds / unit}${letter} uses ${uses}`;
}

const UNBOUND = new Set(['client', 'need', 'independent', 'per', 'expires', 'class', 'selfcheck']);

/**
 * The text for a request: {i, t, leaf, body, attachment: null or {i, leaf}} under a rule of a policy, with a head
 * ({size, root: base64}) and the material of materialOf(). Where that is unknown, its lines are those of `recorded`.
 */
export async function makeStatement(request, policy, rule, head, material, recorded) {
	const { body } = request;
	const mech = get(body, 'mech');
	const window = get(body, 'window') === undefined ? null : rule.per;
	const inputs = inputLines(body, material, recorded);
	const rows = [
		`origin ${policy.origin}`,
		`request ${request.i}`,
		`request-leaf ${b64(request.leaf)}`,
		...(request.attachment === null ? [] : [`attachment ${request.attachment.i} ${b64(request.attachment.leaf)}`]),
		`head ${head.size} ${head.root}`,
		`policy ${policy.version} ${policy.sha256}`,
		`rule ${rule.name}`,
		...rule.groups.map((name) => policy.groups.get(name)).map(({ name, least, members }) => `need ${name} ${least} of ${members.length}`),
		`independent ${rule.independent}`,
		...(window === null ? [] : [windowLine(window)]),
		'decision approve',
		`operation ${await value(text(body, 'op'))}`,
		`mechanism ${await value(text(mech, 'name'))}`,
		`params ${paramsLine(mech)}`,
		...await keyLines(body.key),
		...await loginLines(get(body, 'login')),
		`input-len ${typeof get(body, 'in', 'len') === 'number' ? body.in.len : 'none'}`,
		`input-sha256 ${await value(text(body, 'in', 'sha256'))}`,
		...inputs,
		`requester ${await value(text(body, 'requester', 'name'))} ${text(body, 'requester', 'spki_sha256')}`,
		`purpose ${await value(text(body, 'purpose'))}`,
		...(window === null ? [] : rule.texts.filter(({ key }) => !UNBOUND.has(key)).map((line) => `constraint ${escaped(line.text)}`)),
		...await applicationLines(get(body, 'application'), material, recorded),
		`uses ${window === null ? 1 : window.uses}`,
		`not-before ${timeText(request.t)}`,
		`not-after ${timeText(body.expires)}`,
		`nonce ${await value(text(body, 'nonce_req'))}`,
	];
	return `${FIRST}${rows.join('\n')}\n`;
}

/** The first line with another value, of two statements; null: they are one. */
export function firstDifference(a, b) {
	if (a === b)
		return null;
	const [one, two] = [a.split('\n'), b.split('\n')];
	const at = one.findIndex((line, n) => line !== two[n]);
	return (one[at] ?? two[one.length] ?? '').split(' ')[0];
}

/** Value of the first line with this key, or null. */
export function lineOf(statement, key) {
	return statement.split('\n').slice(1).find((line) => line.startsWith(`${key} `))?.slice(key.length + 1) ?? null;
}

const DECISIONS = { approve: 'approval', reject: 'rejection', veto: 'veto' };

/** What a note's text says of itself: {request, leaf, kind, reason}; null: it is no statement. */
export function readVote(note) {
	const decision = lineOf(note, 'decision');
	const reason = lineOf(note, 'reason');
	if (!note.startsWith(FIRST) || !Object.hasOwn(DECISIONS, decision ?? '') || (decision === 'approve') !== (reason === null) ||
		(reason !== null && !isValue(reason)))
		return null;
	return { request: lineOf(note, 'request'), leaf: lineOf(note, 'request-leaf'), kind: DECISIONS[decision], decision, reason };
}

/** The text that a vote of this decision goes over. */
export function turn(statement, { decision, reason }) {
	if (decision === 'approve')
		return statement;
	const turned = statement.replace('\ndecision approve\n', () => `\ndecision ${decision}\n`);
	return turned.replace('\nnonce ', () => `\nreason ${reason}\nnonce `);
}
