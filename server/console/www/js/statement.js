/*
 * A statement on the screen. Its lines are read once from the text that is signed; the list of lines, and every card
 * and sentence that says something about a request, are made of these lines and of nothing else.
 */
import { el } from './dom.js';
import { readable } from './value.js';
import { t } from './words.js';

/* Which lines belong together. The label stands beside the first line of each run, and is no part of the text. */
const roles = {
	what: 'operation', parameters: 'operation', client: 'requester', page: 'ledger', time: 'limits',
	'file-len': 'input', 'file-sha256': 'input',
	origin: 'ledger', request: 'ledger', 'request-leaf': 'ledger', attachment: 'ledger', head: 'ledger',
	policy: 'rule', rule: 'rule', need: 'rule', independent: 'rule', per: 'rule',
	decision: 'decision', reason: 'decision',
	operation: 'operation', mechanism: 'operation', params: 'operation',
	token: 'key', 'key-class': 'key', 'key-label': 'key', 'key-id': 'key', 'key-spki-sha256': 'key',
	user: 'login', pin: 'login', 'activation-key': 'login',
	'input-len': 'input', 'input-sha256': 'input', 'input-kind': 'input', input: 'input',
	requester: 'requester', purpose: 'requester', application: 'requester', 'applicant-key': 'requester',
	constraint: 'limits', uses: 'limits', 'not-before': 'limits', 'not-after': 'limits', nonce: 'limits',
};

/* What a reader looks for first. */
const weighty = new Set(['decision', 'reason', 'operation', 'key-label', 'token', 'user', 'requester', 'not-after', 'rule', 'what', 'purpose']);
const weightyInput = /^(subject|issuer|not-before|not-after|serial|extension (basicConstraints|keyUsage|subjectAltName)|this-update|next-update|revoked|response)\b/;
const hash = /[A-Za-z0-9+/]{43}=|[0-9a-f]{40,}/g;

/* {first, lines: [{key, value}], text}, or null: that is no statement. */
export function readStatement(text) {
	if (typeof text !== 'string' || !text.startsWith('kanmon/') || !text.endsWith('\n') || text.includes('\n\n'))
		return null;
	const [first, ...rest] = text.slice(0, -1).split('\n');
	const lines = rest.map((line) => {
		const space = line.indexOf(' ');
		return { key: line.slice(0, space), value: line.slice(space + 1), ok: space > 0 };
	});
	return lines.every((line) => line.ok) ? { first, lines, text } : null;
}

export const valueOf = (statement, key) => statement?.lines.find((line) => line.key === key)?.value ?? null;
export const valuesOf = (statement, key) => statement.lines.filter((line) => line.key === key).map((line) => line.value);
/* The `input` line that begins with this word, without it. */
export const inputOf = (statement, word) =>
	valuesOf(statement, 'input').find((value) => value.startsWith(`${word} `))?.slice(word.length + 1) ?? null;

/* One line for a heading: what is done, with which key, on what. */
export function summaryOf(statement) {
	const subject = ['subject', 'issuer', 'responder'].map((word) => inputOf(statement, word)).find((value) => value !== null) ??
		['pPrivateKeyTemplate.CKA_LABEL', 'pTemplate.CKA_LABEL'].map((word) => inputOf(statement, word)).find((value) => value !== null);
	const key = valueOf(statement, 'key-label');

	return [valueOf(statement, 'operation'), key === 'none' ? null : key, subject ?? null].filter((part) => part !== null)
		.map(readable).join(' · ');
}

/* Hashes are all there, only paler than what is read. */
function withHashes(value) {
	const parts = [];
	let at = 0;

	for (const match of value.matchAll(hash)) {
		parts.push(value.slice(at, match.index), el('span', { class: 'hash' }, match[0]));
		at = match.index + match[0].length;
	}
	return [...parts, value.slice(at)];
}

function lineItem(line, before) {
	const role = roles[line.key] ?? 'other';
	const begins = role !== (before === undefined ? '' : roles[before.key] ?? 'other');
	const strong = weighty.has(line.key) || (line.key === 'input' && weightyInput.test(line.value));

	return el('li', {
		class: `line role-${role}${begins ? ' begins' : ''}${strong ? ' strong' : ''}`,
		'data-role': begins ? t(`role.${role}`) : null,
	}, el('span', { class: 'k' }, line.key), ' ', el('span', { class: 'v' }, withHashes(line.value)));
}

/* All lines, in order, each whole. */
export function showStatement(statement, label) {
	return el('ol', { class: 'statement', 'aria-label': label, tabindex: '0' },
		el('li', { class: 'line first', 'data-role': t('role.kind') }, el('span', { class: 'v' }, statement.first)),
		statement.lines.map((line, i) => lineItem(line, statement.lines[i - 1])));
}

/* What the list shows, taken from the screen's own elements: this is what is reported as shown. */
export const displayedText = (list) => [...list.querySelectorAll('.line')].map((item) => `${item.textContent}\n`).join('');

/* The same statement with another decision: what a rejection or veto signs. `reason` is a value already. */
export function turned(text, decision, reason) {
	const statement = readStatement(text);
	const nonce = statement.lines.findIndex((line) => line.key === 'nonce');
	const lines = statement.lines.map((line) => (line.key === 'decision' ? { key: 'decision', value: decision } : line));

	if (reason !== null)
		lines.splice(nonce, 0, { key: 'reason', value: reason });
	return `${statement.first}\n${lines.map((line) => `${line.key} ${line.value}\n`).join('')}`;
}
