/* The policy: the version in force, in its own text and in words, how versions differ, and a next one. */
import { ApiError, get } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { el, facts, fill } from '../dom.js';
import { explain } from '../explain.js';
import { onChange } from '../live.js';
import { noteSigners, noteText, readPolicy, relyingPartyOf, roleOf } from '../policy.js';
import { placedRecord } from '../proof.js';
import { hash, table } from '../table.js';
import { kept } from '../trust.js';
import { Bad } from '../verify/bytes.js';
import { verdictMark } from '../verdict.js';
import { t } from '../words.js';
import { available } from '../webauthn.js';
import { draftCards, POLICY, policyChanges, sayOutcome, VETO } from './drafts.js';
import { proposal } from './propose.js';
import { SigningDialog } from './vote.js';

/* Its lines, and beside each what it says, made of the line itself. */
function explained(text, policy) {
	return el('ol', { class: 'explained', tabindex: '0', 'aria-label': t('policy.explained') }, text.slice(0, -1).split('\n').map((line) =>
		el('li', { class: line.startsWith('rule ') ? 'begins' : null },
			el('code', {}, line === '' ? ' ' : line), el('span', { class: 'words' }, explain(line, policy)))));
}

/* What the gateway finds in it: lines of {line, text}. */
export const findingList = (found) => (found.length === 0 ? null : el('ul', { class: 'changes' }, found.map((finding) =>
	el('li', {}, el('strong', {}, t('propose.line', finding.line)), ' ', finding.text))));

function lintCard(found) {
	return found.length === 0 ? null : el('section', { class: 'card', 'aria-labelledby': 'lint' },
		el('h2', { id: 'lint' }, t('policy.lint')), findingList(found));
}

function differences(versions) {
	const answer = el('div', { 'aria-live': 'polite' });
	const pick = (id, label, value) => [el('label', { for: id }, label), el('select', { id },
		versions.map((version) => el('option', { value: version.version, selected: version.version === value }, t('policy.version', version.version))))];
	const newest = versions.at(-1).version;
	const from = pick('diff-from', t('policy.from'), newest - 1), to = pick('diff-to', t('policy.to'), newest);

	return el('section', { class: 'card', 'aria-labelledby': 'differences' }, el('h2', { id: 'differences' }, t('policy.differences')),
		el('form', { class: 'inline', onsubmit: async (event) => {
			event.preventDefault();
			try {
				const { changes } = await get(`policy/diff?from=${from[1].value}&to=${to[1].value}`);
				fill(answer, changeList(changes));
			} catch (error) {
				fill(answer, el('p', { class: 'problem' }, error.message));
			}
		} }, from, to, el('button', { type: 'submit' }, t('policy.compare'))), answer);
}

export const changeList = (changes) => (changes.length === 0 ? el('p', { class: 'quiet' }, t('policy.same'))
	: el('ul', { class: 'changes' }, changes.map((change) => el('li', {}, el('strong', {}, change.whose), ' ', change.text))));

/* A veto of what waits (docs/statements.md 8), by a person of `role veto`, or of `role policy` where there is none. */
async function openVeto(app, current, waiting, text) {
	const policy = `${waiting.head.version} ${b64(await sha256(text))}`;

	new SigningDialog({
		title: t('policy.veto.title', waiting.head.version), reason: true, class: 'veto', path: 'drafts', rpId: relyingPartyOf(current, location),
		words: [el('p', {}, t('policy.veto.how'))],
	}, (reason) => `kanmon/veto/v1\norigin ${current.head.origin}\npolicy ${policy}\nreason ${reason}\n`, (answer) => {
		app.go('#/policy');
		sayOutcome(app, answer);
	}).open();
}

async function waitingCard(app, current, note) {
	const text = noteText(note);
	const policy = readPolicy(text);
	const may = (roleOf(current, 'veto') ?? roleOf(current, 'policy')).persons.includes(app.session.name);

	return el('section', { class: 'card', 'aria-labelledby': 'waiting' }, el('h2', { id: 'waiting' }, t('policy.waiting', policy.head.version)),
		el('p', { class: 'caution' }, t('policy.waiting.how')),
		await policyChanges(text, current),
		may ? el('div', { class: 'buttons' }, el('button', { type: 'button', class: 'veto', disabled: !available(),
			onclick: () => openVeto(app, current, policy, text) }, t('request.veto'))) : null);
}

/* Is what the gateway calls its policy what the ledger has? */
async function recorded(answer, policy) {
	const index = answer.versions.find((one) => String(one.version) === policy.head.version)?.record;

	if (kept() === null || index === undefined)
		return verdictMark('unknown');
	try {
		const { type, body } = await placedRecord(index, kept());
		return [t('policy.record'), ` ${index} `, verdictMark((type === 'genesis' ? body.policy : body.note) === answer.note ? 'ok' : 'failed')];
	} catch (error) {
		if (!(error instanceof Bad || error instanceof ApiError))
			throw error;
		return verdictMark(error instanceof Bad ? 'failed' : 'unknown');
	}
}

async function summary(answer, policy, text) {
	const role = roleOf(policy, 'policy');

	return el('section', { class: 'card', 'aria-labelledby': 'inforce' }, el('h2', { id: 'inforce' }, t('policy.inforce', policy.head.version)),
		facts([
			[t('policy.recorded'), await recorded(answer, policy)],
			[t('policy.hash'), hash(b64(await sha256(text)))],
			[t('policy.previous'), policy.head.previous === 'none' ? t('app.none') : hash(policy.head.previous)],
			[t('policy.between'), `${policy.head['not-before']} → ${policy.head.expires}`],
			[t('policy.signed'), noteSigners(answer.note).join(', ')],
			[t('policy.role'), role === null ? null : t('policy.role.of', role.least, role.persons.join(', '))],
		]));
}

function versionTable(versions) {
	return el('section', { class: 'card', 'aria-labelledby': 'versions' }, el('h2', { id: 'versions' }, t('policy.versions')),
		table(t('policy.versions'), [{ name: 'version', label: t('policy.number') }, { name: 'record', label: t('policy.record') }],
			[...versions].reverse().map((version) => ({ cells: { version: String(version.version), record: String(version.record) } }))));
}

async function drawPolicy(app, signal) {
	const answer = await get('policy');
	const text = noteText(answer.note);
	const policy = readPolicy(text);
	const again = () => drawPolicy(app, signal);
	/* The text is there without its explanation as well. */
	const [words, drafts] = await Promise.all([get(`policy/versions/${policy.head.version}/words`).catch(() => ({ lines: [] })),
		draftCards(app, [POLICY, VETO], policy, again)]);

	if (signal.aborted)
		return;
	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('policy.title')), el('p', { class: 'lead' }, t('policy.lead')))),
		el('div', { class: 'stack' }, answer.waiting === undefined ? null : await waitingCard(app, policy, answer.waiting), drafts,
			await summary(answer, policy, text),
			el('section', { class: 'card', 'aria-labelledby': 'text' }, el('h2', { id: 'text' }, t('policy.explained')), explained(text, policy)),
			lintCard(words.lines),
			versionTable(answer.versions),
			answer.versions.length > 1 ? differences(answer.versions) : null,
			await proposal(app, answer.note, again)));
}

/* Drawn anew when something changed, but never under the hands of somebody who writes or decides. */
export async function openPolicy(app, argument, signal) {
	const isBusy = () => document.querySelector('dialog[open], .propose[open]') !== null;

	await drawPolicy(app, signal);
	onChange(signal, () => {
		if (!isBusy())
			drawPolicy(app, signal).catch((error) => app.failed(error));
	}, ['drafts', 'policy']);
}
