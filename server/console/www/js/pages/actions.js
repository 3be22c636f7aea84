/*
 * Operator's actions: what is wanted becomes a text, the operator's key signs it, and only then the gateway asks the HSM
 * for it, as its own client, under the same rules as everybody. Custodians see the instruction's number in the statement.
 */
import { get, post } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { contentOf, contentStatement } from '../issued.js';
import { contentCard } from '../content.js';
import { toBeSigned } from '../der.js';
import { el, fill, newId, refill } from '../dom.js';
import { onChange } from '../live.js';
import { noteText, readPolicy } from '../policy.js';
import { utcShort } from '../time.js';
import { asValue } from '../value.js';
import { has, t } from '../words.js';
import { Draft } from './instruct.js';
import { openInstruction } from './instruction.js';
import { keyProblem } from './signin.js';

const generators = [['CKM_EC_KEY_PAIR_GEN', ['P-256', 'P-384', 'P-521']], ['CKM_RSA_PKCS_KEY_PAIR_GEN', ['3072', '4096', '2048']],
	['CKM_EC_EDWARDS_KEY_PAIR_GEN', ['Ed25519']]];
/* By the name that a certificate or CRL has for the signature over it; a request has none, and PSS is one name for three. */
const signers = [['sha256WithRSAEncryption', 'CKM_SHA256_RSA_PKCS'], ['sha384WithRSAEncryption', 'CKM_SHA384_RSA_PKCS'],
	['sha512WithRSAEncryption', 'CKM_SHA512_RSA_PKCS'], ['', 'CKM_SHA256_RSA_PKCS_PSS'], ['', 'CKM_SHA384_RSA_PKCS_PSS'], ['', 'CKM_SHA512_RSA_PKCS_PSS'],
	['ecdsa-with-SHA256', 'CKM_ECDSA_SHA256'], ['ecdsa-with-SHA384', 'CKM_ECDSA_SHA384'], ['ecdsa-with-SHA512', 'CKM_ECDSA_SHA512'], ['Ed25519', 'CKM_EDDSA']];

/* The fields of each action, in the order of the form. */
const actions = {
	sign: ['token', 'label', 'id', 'file', 'signer', 'purpose'],
	generate: ['token', 'label', 'id', 'generator', 'purpose'],
	destroy: ['token', 'label', 'id', 'purpose'],
	window: ['token', 'label', 'id', 'rule', 'purpose'],
};

const option = (value, text = value) => el('option', { value }, text);
const required = new Set(['token', 'label', 'file', 'purpose', 'rule']);
/* As it is signed, and as the gateway is asked: composed, without space around it. */
const typed = (text) => (text ?? '').normalize('NFC').trim();

/* ---- the form ------------------------------------------------------------------------------------------------- */

/* `known`: {tokens, labels: of keys that are there, rules: of windows}. */
function control(name, id, known, what) {
	switch (name) {
	case 'token':
		return el('select', { id, name }, known.tokens.map((token) => option(token.name)));
	case 'rule':
		return el('select', { id, name, required: true }, known.rules.map((rule) => option(rule)));
	case 'signer':
		return el('select', { id, name }, signers.map(([, mechanism]) => option(mechanism)));
	case 'generator':
		return el('select', { id, name }, generators.flatMap(([mechanism, parameters]) =>
			parameters.map((parameter) => option(`${mechanism} ${parameter}`, `${mechanism}, ${parameter}`))));
	case 'file':
		return el('input', { id, name, type: 'file', required: true, accept: '.pem,.crt,.cer,.csr,.crl,.der,.tbs' });
	default:
		return el('input', { id, name, autocomplete: 'off', required: required.has(name), maxlength: 255, pattern: name === 'id' ? '([0-9a-f]{2})*' : null,
			list: name === 'label' && what !== 'generate' ? 'known-labels' : null });
	}
}

function form(what, known, submit) {
	return el('form', { class: 'stack action-form', onsubmit: (event) => {
		event.preventDefault();
		submit(what, event.target);
	} }, actions[what].map((name) => {
		const id = newId(name);
		return el('div', {}, el('label', { for: id }, t(`actions.field.${name}`)), control(name, id, known, what));
	}), el('datalist', { id: 'known-labels' }, known.labels.map((label) => option(label))),
	el('div', { class: 'file-content', 'aria-live': 'polite' }),
	what === 'window' && known.rules.length === 0 ? el('p', { class: 'caution' }, t('actions.norules')) : null,
	el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary' }, t('actions.prepare'))));
}

/* What the form says: as the API wants it, as lines of the text, and the file's bytes. */
async function wanted(what, node) {
	const values = Object.fromEntries(new FormData(node));
	const [mechanism = '', parameters = ''] = (values.generator ?? values.signer ?? '').split(' ');
	const asked = { what, token: values.token, rule: values.rule ?? '', key: typed(values.label), id: typed(values.id), mechanism, parameters, purpose: typed(values.purpose) };
	const lines = { what, token: asked.token, 'key-label': asValue(asked.key), 'key-id': asked.id, mechanism, parameters,
		rule: asked.rule, purpose: asValue(asked.purpose), 'file-sha256': '', 'file-len': '' };

	if (values.file === undefined)
		return { asked, lines, file: null };
	const found = toBeSigned(new Uint8Array(await values.file.arrayBuffer()));
	if (found.wrong !== undefined)
		throw new Error(t(found.wrong));
	const hash = b64(await sha256(found.bytes));
	return { asked: { ...asked, file_sha256: hash, file_length: found.bytes.length }, file: found.bytes, whole: found.whole,
		lines: { ...lines, 'file-sha256': hash, 'file-len': String(found.bytes.length) } };
}

/* ---- the page ------------------------------------------------------------------------------------------------- */

function row(instruction) {
	const state = `instruction.${instruction.state}`;

	return el('li', { class: 'instruction' }, el('span', { class: 'number' }, String(instruction.record)),
		el('div', { class: 'what' }, el('a', { href: `#/actions/${instruction.record}`, id: `instruction-${instruction.record}` },
			[has(`actions.what.${instruction.what}`) ? t(`actions.what.${instruction.what}`) : t('actions.record', instruction.record), instruction.key].filter(Boolean).join(' · ')),
		el('p', { class: 'under' }, [instruction.purpose ? `“${instruction.purpose}”` : null,
			instruction.request === undefined ? null : t('requests.number', instruction.request)].filter((part) => part !== null).join(' · '))),
		el('div', { class: 'when' }, el('span', { class: `state state-${instruction.state}` }, has(state) ? t(state) : instruction.state),
			instruction.t === undefined ? null : el('span', { class: 'under' }, utcShort(instruction.t))));
}

class ActionsPage {
	constructor(app, signal, known) {
		Object.assign(this, { app, signal, known });
		this.place = el('div', {});
		this.begun = el('section', { 'aria-labelledby': 'begun' });
	}

	choose(what) {
		const node = form(what, this.known, (name, filled) => this.prepare(name, filled).catch((error) => this.fail(error, filled)));

		node.querySelector('input[type=file]')?.addEventListener('change', () => this.look(node).catch((error) => this.fail(error, node)));
		fill(this.place, node);
	}

	fail(error, node) {
		node.querySelector('.problem')?.remove();
		node.append(el('p', { class: 'problem', role: 'alert' }, error instanceof DOMException ? keyProblem(error) : error.message));
	}

	/* What the file says, in words, before anything is asked; and the signature that it names itself. */
	async look(node) {
		const place = node.querySelector('.file-content');

		node.querySelector('.problem')?.remove();
		fill(place);
		const { file } = await wanted('sign', node);
		const content = await contentOf(file);
		const named = content?.lines.find((line) => line.startsWith('signature-algorithm '))?.split(' ')[1];
		const signer = signers.find(([name]) => name === named)?.[1];
		if (signer !== undefined)
			node.elements.signer.value = signer;
		fill(place, content === null ? el('p', { class: 'caution' }, t('actions.file.unread'))
			: contentCard(contentStatement(content), Date.now(), 'file-content'));
	}

	async prepare(what, node) {
		const wish = await wanted(what, node);
		const { text, rp_id: rpId } = await post('instructions/begin', wish.asked);
		const sealed = this.known.tokens.find((token) => token.name === wish.asked.token)?.sealed_pin === true;

		fill(this.place, new Draft(this, { text, rpId, wish, needsPin: what !== 'window' && !sealed }).draw());
		document.getElementById('instruction').focus();
	}

	/* One's own, from the gateway: they are there after a reload, and at another browser. */
	async list() {
		const { instructions } = await get('instructions');
		const mine = instructions.filter((one) => one.operator === this.app.session.name);

		if (!this.signal.aborted)
			refill(this.begun, el('h2', { id: 'begun' }, t('actions.started'), ' ', el('span', { class: 'count' }, String(mine.length))),
				mine.length === 0 ? el('p', { class: 'empty' }, t('actions.none')) : el('ul', { class: 'requests' }, mine.map(row)));
	}

	async draw() {
		const choices = el('fieldset', { class: 'choices' }, el('legend', {}, t('actions.which')), Object.keys(actions).map((what, i) => {
			const id = newId('what');
			return el('span', {}, el('input', { type: 'radio', name: 'what', id, value: what, checked: i === 0, onchange: () => this.choose(what) }),
				el('label', { for: id }, t(`actions.what.${what}`)));
		}));
		const again = () => this.list().catch((error) => this.app.failed(error, this.begun));

		await again();
		fill(this.app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('actions.title')), el('p', { class: 'lead' }, t('actions.lead')))),
			el('div', { class: 'narrow-form' }, choices, this.place), this.begun);
		this.choose('sign');
		onChange(this.signal, again);
	}
}

export async function openActions(app, argument, signal) {
	if (argument !== '')
		return openInstruction(app, Number(argument), signal);
	const [{ tokens }, { keys }, { note }] = await Promise.all([get('tokens'), get('keys'), get('policy')]);
	const { rules } = readPolicy(noteText(note));
	const windows = rules.filter((rule) => rule.lines.some(({ words: [first, second] }) => first === 'per' && second === 'window'));

	if (!signal.aborted)
		await new ActionsPage(app, signal, { tokens, rules: windows.map((rule) => rule.name),
			labels: [...new Set(keys.filter((key) => key.destroyed_by === undefined).map((key) => key.label))].filter(Boolean) }).draw();
	return undefined;
}
