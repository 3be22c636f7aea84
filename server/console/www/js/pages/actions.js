/*
 * Operator's actions: what is wanted becomes a text, the operator's key signs it, and only then the gateway asks the HSM
 * for it, as its own client, under the same rules as everybody. Custodians see the instruction's number in the statement.
 */
import { get, post } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { toBeSigned } from '../der.js';
import { el, fill, newId } from '../dom.js';
import { onChange } from '../live.js';
import { readStatement, showStatement, valueOf } from '../statement.js';
import { asValue } from '../value.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';
import { stateWord } from './requests.js';
import { keyProblem } from './signin.js';

const generators = [['CKM_EC_KEY_PAIR_GEN', ['P-256', 'P-384', 'P-521']], ['CKM_RSA_PKCS_KEY_PAIR_GEN', ['3072', '4096', '2048']],
	['CKM_EC_EDWARDS_KEY_PAIR_GEN', ['Ed25519']]];
const signers = ['CKM_SHA256_RSA_PKCS', 'CKM_SHA384_RSA_PKCS', 'CKM_SHA512_RSA_PKCS', 'CKM_ECDSA_SHA256', 'CKM_ECDSA_SHA384', 'CKM_ECDSA_SHA512'];

/* The fields of each action, in the order of the form. */
const actions = {
	sign: ['token', 'label', 'signer', 'file', 'purpose'],
	generate: ['token', 'label', 'id', 'generator', 'purpose'],
	destroy: ['token', 'label', 'id', 'purpose'],
	window: ['token', 'label', 'rule', 'purpose'],
};

const option = (value, text = value) => el('option', { value }, text);
const required = new Set(['token', 'label', 'file', 'purpose', 'rule']);

/* ---- the form ------------------------------------------------------------------------------------------------- */

function control(name, id, tokens) {
	switch (name) {
	case 'token':
		return el('select', { id, name }, tokens.map((token) => option(token.name)));
	case 'signer':
		return el('select', { id, name }, signers.map((mechanism) => option(mechanism)));
	case 'generator':
		return el('select', { id, name }, generators.flatMap(([mechanism, parameters]) =>
			parameters.map((parameter) => option(`${mechanism} ${parameter}`, `${mechanism}, ${parameter}`))));
	case 'file':
		return el('input', { id, name, type: 'file', required: true, accept: '.pem,.crt,.cer,.csr,.crl,.der,.tbs' });
	default:
		return el('input', { id, name, autocomplete: 'off', required: required.has(name), maxlength: 255,
			pattern: name === 'id' ? '([0-9a-f]{2})*' : null });
	}
}

function form(what, tokens, submit) {
	return el('form', { class: 'stack action-form', onsubmit: (event) => {
		event.preventDefault();
		submit(what, event.target);
	} }, actions[what].map((name) => {
		const id = newId(name);
		return el('div', {}, el('label', { for: id }, t(`actions.field.${name}`)), control(name, id, tokens));
	}), el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary' }, t('actions.prepare'))));
}

/* What the form says, as the API wants it; the file's bytes besides. */
async function wanted(what, node) {
	const values = Object.fromEntries(new FormData(node));
	const [mechanism, parameters = ''] = (values.generator ?? values.signer ?? '').split(' ');
	const asked = { what, token: values.token, rule: values.rule ?? '', key: values.label ?? '', id: values.id ?? '', mechanism, parameters, purpose: values.purpose };
	const lines = { what, token: values.token, 'key-label': asValue(asked.key), 'key-id': values.id ?? '', mechanism, parameters,
		rule: values.rule ?? '', purpose: asValue(values.purpose), 'file-sha256': '' };

	if (values.file === undefined)
		return { asked, lines, file: null };
	const found = toBeSigned(new Uint8Array(await values.file.arrayBuffer()));
	if (found === null)
		throw new Error(t('actions.file.wrong'));
	const hash = b64(await sha256(found.bytes));
	return { asked: { ...asked, file_sha256: hash, file_length: found.bytes.length }, lines: { ...lines, 'file-sha256': hash }, file: found.bytes, whole: found.whole };
}

/* The gateway made the text: does it say what was typed, and nothing else? */
const saysOtherwise = (statement, lines) =>
	Object.entries(lines).filter(([key, value]) => (valueOf(statement, key) ?? '') !== value).map(([key]) => key);

/* ---- from the text to the result ------------------------------------------------------------------------------ */

class Instruction {
	constructor(page, text, rpId, wish) {
		Object.assign(this, { page, text, rpId, wish, statement: readStatement(text) });
		this.place = el('div', { 'aria-live': 'polite', class: 'answer' });
	}

	draw() {
		const wrong = this.statement === null ? ['kanmon/instruction/v1'] : saysOtherwise(this.statement, this.wish.lines);

		return el('section', { class: 'card paper', 'aria-labelledby': 'instruction' }, el('h2', { id: 'instruction', tabindex: '-1' }, t('actions.text')),
			el('p', { class: 'quiet' }, t('actions.text.how')),
			this.wish.whole ? el('p', { class: 'caution' }, t('actions.file.part')) : null,
			this.statement === null ? null : showStatement(this.statement, t('actions.text')),
			wrong.length === 0 ? null : el('p', { class: 'problem', role: 'alert' }, t('actions.otherwise', wrong.join(', '))),
			this.place,
			el('div', { class: 'buttons' }, el('button', { type: 'button', id: 'sign-instruction', class: 'primary', disabled: wrong.length > 0 || !available(),
				onclick: (event) => this.sign(event.target) }, t('vote.sign')),
			el('button', { type: 'button', class: 'plain', onclick: () => this.page.choose(this.wish.asked.what) }, t('app.cancel'))));
	}

	async sign(button) {
		button.disabled = true;
		fill(this.place, el('p', { class: 'waiting' }, t('vote.waiting')));
		try {
			const assertion = await signText(this.text, this.rpId);
			const answer = await post('instructions', { text: this.text, assertion, file: this.wish.file === null ? '' : b64(this.wish.file) });
			this.page.begun(answer);
		} catch (error) {
			button.disabled = false;
			fill(this.place, el('p', { class: 'problem', role: 'alert' }, keyProblem(error)));
		}
	}
}

class ActionsPage {
	constructor(app, signal, tokens) {
		Object.assign(this, { app, signal, tokens, begunActions: [] });
		this.place = el('div', {});
		this.progress = el('section', { 'aria-labelledby': 'begun', hidden: true });
	}

	choose(what) {
		fill(this.place, form(what, this.tokens, (name, node) => this.prepare(name, node).catch((error) => this.fail(error, node))));
	}

	fail(error, node) {
		node.querySelector('.problem')?.remove();
		node.append(el('p', { class: 'problem', role: 'alert' }, error instanceof DOMException ? keyProblem(error) : error.message));
	}

	async prepare(what, node) {
		const wish = await wanted(what, node);
		const { text, rp_id: rpId } = await post('instructions/begin', wish.asked);

		fill(this.place, new Instruction(this, text, rpId, wish).draw());
		document.getElementById('instruction').focus();
	}

	begun(answer) {
		this.begunActions.unshift(answer);
		this.choose('sign');
		this.app.announce(t('actions.begun', answer.record));
		this.follow().catch((error) => this.app.failed(error, this.progress));
	}

	/* Each instruction of this session, and what has become of it: its request, and then its operation. */
	async follow() {
		if (this.begunActions.length === 0)
			return;
		const { requests } = await get('requests?ended=1');
		const row = (answer) => {
			const request = requests.find((one) => one.application === answer.application);
			return el('li', { class: 'changes-row' }, el('strong', {}, t('actions.record', answer.record)), ' ',
				request === undefined ? t('actions.waits')
					: [el('a', { href: `#/requests/${request.id}` }, t('requests.number', request.id)), ' ', stateWord(request.state), ' ',
						request.result === undefined ? null : el('a', { href: `#/operations/${request.result}` }, t('request.operation'))]);
		};

		this.progress.hidden = false;
		fill(this.progress, el('h2', { id: 'begun' }, t('actions.started')), el('ul', { class: 'changes' }, this.begunActions.map(row)));
	}

	draw() {
		const choices = el('fieldset', { class: 'choices' }, el('legend', {}, t('actions.which')), Object.keys(actions).map((what, i) => {
			const id = newId('what');
			return el('span', {}, el('input', { type: 'radio', name: 'what', id, value: what, checked: i === 0, onchange: () => this.choose(what) }),
				el('label', { for: id }, t(`actions.what.${what}`)));
		}));

		fill(this.app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('actions.title')), el('p', { class: 'lead' }, t('actions.lead')))),
			this.progress, el('div', { class: 'narrow-form' }, choices, this.place));
		this.choose('sign');
		onChange(this.signal, () => this.follow().catch((error) => this.app.failed(error, this.progress)));
	}
}

export async function openActions(app, argument, signal) {
	const { tokens } = await get('tokens');

	new ActionsPage(app, signal, tokens).draw();
}
