/* The pages against the stand-in (mock.mjs): no gateway, so that a change of a page is tried in seconds. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seriousFaults } from './axe.mjs';
import { Browser, complaints } from './browser.mjs';
import { Ledger } from './ledger.mjs';
import { Mock } from './mock.mjs';
import { Pictures } from './pictures.mjs';
import { runAll, test } from './tap.mjs';

const mock = new Mock(normalize(`${process.env.KMN_WWW}/`));
const origin = await mock.listen();
const browser = await Browser.start();
const pictures = new Pictures();
const sato = await browser.person('sato', origin);
const { page } = sato;

const fixture = (name) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const everyPage = ['requests', 'operations', 'keys', 'policy', 'custodians', 'health', 'actions', 'verify', 'enrol'];

async function open(name) {
	await sato.goto(`#/${name}`);
	await page.locator('main[data-ready="true"] h1').waitFor();
}

test('a security key that no line of the policy knows does not open the door', async () => {
	await sato.goto();
	await sato.plugIn();
	mock.enrol('nobody', await sato.credential('localhost'));
	mock.persons.clear();
	await page.getByRole('button', { name: 'With a security key' }).click();
	await page.getByRole('alert').waitFor();
	assert.match(await page.getByRole('alert').textContent(), /no key of the policy/);
});

test('the door tells what may be done without a key', async () => {
	await sato.goto();
	await page.getByRole('link', { name: 'Verify a bundle' }).first().waitFor();
	await pictures.take(page, 'signin', { viewport: { width: 1280, height: 620 } });
	await open('enrol');
	await pictures.take(page, 'enrol', { viewport: { width: 1280, height: 560 } });
});

test('a custodian signs in with a security key and sees what waits, the newest first', async () => {
	await sato.cdp.send('WebAuthn.clearCredentials', { authenticatorId: sato.authenticator });
	mock.enrol('sato', await sato.credential('localhost'));
	await sato.signIn();
	assert.deepEqual(await page.locator('.request .number').allTextContents(), ['46', '35']);
});

test('a ledger that is seen for the first time is shown to be compared; with its trust file it is known', async () => {
	const { vkey, origin: name } = mock.ledger;
	const text = mock.answers.policy.note.slice(0, mock.answers.policy.note.lastIndexOf('\n\n') + 1);
	const file = (policy) => ({ name: 'trust', mimeType: 'text/plain', buffer: Buffer.from(
		`kanmon/trust/v1\norigin ${name}\npolicy-sha256 ${createHash('sha256').update(policy).digest('base64')}\nlog ${vkey}\n\nlog ${vkey}\nquorum none\n`) });

	await page.locator('#trust-strip .verdict.unknown').waitFor();
	await page.getByLabel('Trust file').setInputFiles(file('another policy'));
	await page.getByText('The trust file is of another ledger').waitFor();
	await page.getByLabel('Trust file').setInputFiles(file(text));
	await page.locator('#trust-strip .verdict.ok').waitFor();
	assert.equal(await page.locator('#trust-first').count(), 0);
});

test('the statement on the screen is the statement, byte for byte, and was reported so', async () => {
	await page.locator('#request-35').click();
	await page.locator('.statement').waitFor();
	const lines = await page.locator('.statement .line').allTextContents();
	assert.equal(`${lines.join('\n')}\n`, mock.requests.get(35).statement);
	await page.getByText('was reported to the ledger').waitFor();
	assert.deepEqual(mock.seen, [{ id: 35, agrees: true }]);
	assert.match(await page.locator('.content').textContent(), /more than 398 days/);
});

test('a statement that names a head of another history, or an approval that nobody proves, is said to be so', async () => {
	const answer = mock.requests.get(35);
	const other = new Ledger(mock.ledger.origin, '');

	assert.equal(await page.locator('.checks li', { hasText: 'not proven yet' }).locator('.verdict.unknown').count(), 1);
	mock.evidence = true;
	await open('requests/46');
	await open('requests/35');
	await page.getByText('A check failed').waitFor();
	assert.equal(await page.locator('.checks li', { hasText: 'each approval shown' }).locator('.verdict.failed').count(), 1);
	mock.evidence = false;
	other.grow(59);
	other.lines[35] = answer.intent.line;
	mock.place(35, answer, other);
	await open('requests/46');
	await open('requests/35');
	await page.getByText('A check failed').waitFor();
	await page.locator('.checks li', { hasText: 'it did not grow out of the head that this browser keeps' }).locator('.verdict.failed').waitFor();
	assert.equal(await page.locator('#do-approve').isDisabled(), true);
	mock.place(35, answer);
	mock.seen.length = 0;
	await open('requests/46');
	await open('requests/35');
});

test('an approval is made of the text on the screen, and counts', async () => {
	await page.getByRole('button', { name: 'Approve' }).click();
	await page.getByRole('button', { name: 'Sign with the security key' }).click();
	await page.locator('#outcome').waitFor();
	assert.equal(await page.locator('#outcome').textContent(), 'Recorded, and it counts.');
	assert.equal(mock.requests.get(35).request.state, 'approved');
});

test('a rejection wants a reason, and signs it', async () => {
	await sato.goto('#/requests/46');
	await page.getByRole('button', { name: 'Reject' }).click();
	await page.getByRole('button', { name: 'Sign with the security key' }).click();
	await page.getByText('A reason is required.').waitFor();
	await page.getByLabel('Reason').fill('not in the ceremony script');
	await page.getByRole('button', { name: 'Sign with the security key' }).click();
	await page.locator('#outcome').waitFor();
	assert.deepEqual(mock.requests.get(46).request.rejected_by, ['sato']);
});

test('every page opens, has one heading of the first level, and its name in the title', async () => {
	for (const name of everyPage) {
		await open(name);
		assert.equal(await page.locator('h1').count(), 1, name);
		await page.waitForFunction(() => document.title.startsWith(document.querySelector('main h1').textContent));
	}
});

test('a page that was left while it waited for its answer does not write over the next one', async () => {
	let release = null;
	const held = new Promise((done) => { release = done; });

	await page.route('**/api/v1/health', async (route) => {
		await held;
		await route.continue();
	});
	await sato.goto('#/health');
	await open('custodians');
	const answered = page.waitForResponse('**/api/v1/health');
	release();
	await answered;
	await page.waitForTimeout(100);
	assert.equal(await page.locator('h1').textContent(), 'Custodians');
	await page.unrouteAll({ behavior: 'wait' });
});

test('enrolling makes a resident credential that verified its person, and saves its registration', async () => {
	await sato.goto('#/enrol');
	await page.getByLabel('Your name in the policy').fill('mori');
	const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Make the credential' }).click()]);
	const registration = JSON.parse(await readFile(await download.path(), 'utf8'));
	const client = JSON.parse(Buffer.from(registration.response.clientDataJSON, 'base64url').toString());
	assert.equal(download.suggestedFilename(), 'mori.registration.json');
	assert.deepEqual([client.type, client.origin], ['webauthn.create', origin]);
	const { credentials } = await sato.cdp.send('WebAuthn.getCredentials', { authenticatorId: sato.authenticator });
	const made = credentials.find((credential) => credential.isResidentCredential && credential.userName === 'mori');
	assert.ok(made);
	await sato.cdp.send('WebAuthn.removeCredential', { authenticatorId: sato.authenticator, credentialId: made.credentialId });
});

test('in Japanese every word changes but those that are signed', async () => {
	await page.getByLabel('Language').selectOption('ja');
	await sato.goto('#/requests/35');
	await page.getByRole('heading', { name: '依頼 35' }).waitFor();
	assert.equal(await page.locator('html').getAttribute('lang'), 'ja');
	const lines = await page.locator('.statement .line').allTextContents();
	assert.equal(`${lines.join('\n')}\n`, mock.requests.get(35).statement);
	await page.getByLabel('言語').selectOption('en');
});

test('the keyboard alone goes from the list to a decision and back', async () => {
	const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
	const tabTo = async (id) => {
		for (let i = 0; i < 40 && await focused() !== id; i++)
			await page.keyboard.press('Tab');
		assert.equal(await focused(), id);
	};

	await open('requests');
	await tabTo('request-46');
	await page.keyboard.press('Enter');
	await page.getByRole('heading', { name: 'Request 46' }).waitFor();
	await page.waitForFunction(() => document.activeElement.tagName === 'H1');
	await tabTo('do-veto');
	await page.keyboard.press('Enter');
	assert.ok(await page.evaluate(() => document.activeElement.closest('dialog') !== null));
	await page.keyboard.press('Escape');
	await page.locator('dialog').waitFor({ state: 'detached' });
	assert.equal(await focused(), 'do-veto');
});

test('the head moves on only as far as the ledger grew out of it', async () => {
	mock.ledger.grow(9);
	mock.tell({ what: 'ledger' });
	await page.locator('#trust-strip', { hasText: '69 records' }).waitFor();
});

for (const [says, what, lie] of [
	['an older checkpoint', 'older', (ledger) => ledger.lines.splice(10)],
	['a checkpoint of another history', 'did not grow', (ledger) => ledger.lines.splice(3, 12, ...Array.from({ length: 20 }, (_, i) => `{"other":${i}}`))],
	['a checkpoint that another key signed', 'not signed by its log key', (ledger) => { ledger.privateKey = new Ledger('other', '').privateKey; }],
	['another ledger', 'another ledger than before', (ledger) => { ledger.origin = 'other'; }],
])
	test(`${says} is an alarm that stays, and nothing is signed beside it`, async () => {
		const { lines, privateKey, origin: name } = mock.ledger;
		const honest = [...lines];

		lie(mock.ledger);
		mock.tell({ what: 'ledger' });
		await page.locator('#trust-alarm', { hasText: what }).waitFor();
		Object.assign(mock.ledger, { lines: honest, privateKey, origin: name });
		await page.reload();
		await page.locator('#trust-alarm', { hasText: what }).waitFor();
		await open('requests/46');
		assert.equal(await page.locator('#do-veto').isDisabled(), true);
		await page.getByRole('button', { name: 'Forget this ledger' }).click();
		await page.getByRole('button', { name: 'they agree' }).click();
		await page.locator('#trust-strip .verdict.ok').waitFor();
	});

test('what this browser kept and cannot read is an alarm, until the ledger is forgotten by hand', async () => {
	await page.evaluate(() => localStorage.setItem('kanmon.trust', '{"origin":'));
	await page.reload();
	await page.locator('#trust-alarm', { hasText: 'cannot be read' }).waitFor();
	await page.getByRole('button', { name: 'Forget this ledger' }).click();
	await page.getByRole('button', { name: 'they agree' }).click();
	await page.locator('#trust-strip .verdict.ok').waitFor();
});

test('an operation whose evidence is of another log key says FAILED on its line, and where', async () => {
	mock.evidence = true;
	await open('operations');
	await page.locator('.operation .verdict.failed').waitFor();
	await page.getByRole('button', { name: 'C_Sign' }).click();
	await page.locator('.step.failed', { hasText: 'not signed by the log key' }).waitFor();
});

test('a line of the list that says something else than its records is said to be so', async () => {
	const { operations: [operation] } = mock.answers.operations;
	const words = await page.evaluate(async ([bundle, trust, row]) => {
		const { readFacts, rowOf, differences } = await import('/js/facts.js');
		const facts = await readFacts(bundle);
		const proven = rowOf(facts.call, facts.ends.find((end) => end.i === row.record), facts.request, facts.call.requester.name);
		const told = (change) => differences({ ...row, ...change }, proven);
		return [told({}), told({ key: { label: 'other', token: 'root' } }), told({ result: 'failed', rv: 'CKR_HOST_MEMORY' }), told({ client: 'x', purpose: '', t: 1 })];
	}, [await readFile(fixture('request.bundle'), 'utf8'), '', operation]);

	assert.deepEqual(words, [[], ['label'], ['rv', 'result'], ['t', 'client', 'purpose']]);
});

async function fillAction(purpose = 'certificate of www.example.jp') {
	await page.getByLabel('Label of the key').fill('root-ca');
	await page.getByLabel('Certificate, CRL or request').setInputFiles(fixture('request.der'));
	await page.getByLabel('Purpose').fill(purpose);
}

test('an operator reads what the file says, and what the key would sign', async () => {
	await open('actions');
	await fillAction();
	await page.locator('.file-content .common', { hasText: 'www.example.jp' }).waitFor();
	assert.equal(await page.getByLabel('Signature').inputValue(), 'CKM_SHA384_RSA_PKCS');
	await page.getByRole('button', { name: 'Show what I would sign' }).click();
	await page.getByText('Only what its signature is over will be signed anew').waitFor();
	await pictures.take(page, 'actions', { viewport: { width: 1280, height: 900 } });
	assert.equal(await page.locator('#sign-instruction').isEnabled(), true);
});

test('the PIN goes with one instruction and leaves the field at once, also where nothing was signed', async () => {
	const pin = page.getByLabel('User PIN of the token');

	assert.deepEqual(await Promise.all(['type', 'autocomplete'].map((name) => pin.getAttribute(name))), ['password', 'off']);
	await page.locator('#sign-instruction').click();
	assert.equal(mock.instructed, undefined);
	await sato.cdp.send('WebAuthn.setUserVerified', { authenticatorId: sato.authenticator, isUserVerified: false });
	await pin.fill('1234');
	await page.locator('#sign-instruction').click();
	await page.getByText('The security key signed nothing').waitFor();
	assert.equal(await pin.inputValue(), '');
	assert.equal(mock.instructed, undefined);
	await sato.cdp.send('WebAuthn.setUserVerified', { authenticatorId: sato.authenticator, isUserVerified: true });
	await pin.fill('1234');
	await page.locator('#sign-instruction').click();
	await page.waitForURL(/#\/actions\/90$/);
	assert.equal(mock.instructed.pin, '1234');
	assert.ok(!(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))).includes('1234'));
});

test('one’s own instructions are there after a reload, others’ are not', async () => {
	mock.instructions.push({ record: 80, t: 0, operator: 'mori', what: 'destroy', state: 'done' });
	await page.goto(`${origin}/#/actions`);
	await page.reload();
	await page.locator('#instruction-90').waitFor();
	assert.equal(await page.locator('.instruction').count(), 1);
});

test('a token whose PIN the gateway has under shares is asked for none', async () => {
	mock.answers.tokens.tokens[0].sealed_pin = true;
	await page.reload();
	await fillAction();
	await page.getByRole('button', { name: 'Show what I would sign' }).click();
	await page.locator('#sign-instruction').waitFor();
	assert.equal(await page.getByLabel('User PIN of the token').count(), 0);
	delete mock.answers.tokens.tokens[0].sealed_pin;
});

const begin = mock.instruction;
for (const [says, line, lie] of [
	['another key', 'key-label', (asked) => begin.call(mock, { ...asked, key: 'another-key' })],
	['another ledger', 'origin', (asked) => { const made = begin.call(mock, asked); return { ...made, text: made.text.replace(/^origin .*$/m, 'origin other') }; }],
	['a line that nobody typed', 'rule', (asked) => begin.call(mock, { ...asked, rule: 'windowed' })],
	['a line twice', 'purpose', (asked) => { const made = begin.call(mock, asked); return { ...made, text: made.text.replace(/^(purpose .*\n)/m, '$1purpose another\n') }; }],
	['no instruction', 'kanmon/instruction/v1', (asked) => { const made = begin.call(mock, asked); return { ...made, text: made.text.replace('kanmon/instruction/v1', 'kanmon/veto/v1') }; }],
])
	test(`an instruction’s text that says ${says} is not signed`, async () => {
		mock.instruction = lie;
		await open('health');
		await open('actions');
		await fillAction();
		await page.getByRole('button', { name: 'Show what I would sign' }).click();
		await page.getByText(`does not say what you typed: ${line}.`).waitFor();
		assert.equal(await page.locator('#sign-instruction').isEnabled(), false);
		mock.instruction = begin;
	});

for (const [says, name, text, words] of [
	['a private key', 'ca.pem', '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n', 'holds a private key'],
	['two certificates', 'chain.pem', '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n'.repeat(2), 'more than one thing'],
	['no DER', 'text.pem', 'nothing', 'neither PEM nor DER'],
	['bytes behind it', 'long.der', '0\0x', 'neither PEM nor DER'],
])
	test(`a file with ${says} is not taken`, async () => {
		await open('health');
		await open('actions');
		await page.getByLabel('Certificate, CRL or request').setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(text) });
		await page.locator('.problem', { hasText: words }).waitFor();
	});

test('a bundle that is dropped is verified without the server, against a trust file', async () => {
	await open('verify');
	await page.getByLabel('Drop a bundle here').setInputFiles([fixture('trust'), fixture('request.bundle')]);
	await page.locator('.chain-verdict .verdict.ok').waitFor();
	assert.deepEqual(await page.locator('.step h3').allTextContents(), ['The instruction', 'What screens showed', 'The statement that was to be signed',
		'Who signed it', 'What the policy asked', 'The call', 'The decision', 'What the HSM returned', 'Where it stands in the ledger',
		'The head of the ledger', 'Witnesses', 'Time stamps']);
	assert.equal(await page.locator('.step.failed').count(), 0);
});

test('a bundle of another ledger than the one this browser knows is none of its', async () => {
	await open('health');
	await open('verify');
	await page.getByLabel('Drop a bundle here').setInputFiles(fixture('request.bundle'));
	await page.locator('.chain-verdict .verdict.failed').waitFor();
});

test('a bundle with one character changed, in any of its lines, or with one line left out, does not verify', async () => {
	const passed = await page.evaluate(async ([bundle, trust]) => {
		const { judgeText } = await import('/js/proof.js');
		const lines = bundle.split('\n').slice(0, -1);
		const swap = (line) => {
			const at = Math.floor(line.length / 2);
			return line.slice(0, at) + (line[at] === 'A' ? 'B' : 'A') + line.slice(at + 1);
		};
		/* Data that is not there is said to be missing, where it is needed. */
		const bent = lines.flatMap((line, i) => [lines.with(i, swap(line)), ...(line.startsWith('blob ') ? [] : [lines.toSpliced(i, 1)])]);
		const verdicts = await Promise.all(bent.map(async (changed) => (await judgeText(`${changed.join('\n')}\n`, trust)).verdict));
		return verdicts.flatMap((verdict, i) => (verdict === 'ok' ? [i] : []));
	}, [await readFile(fixture('request.bundle'), 'utf8'), await readFile(fixture('trust'), 'utf8')]);
	assert.deepEqual(passed, []);
});

test('axe-core finds nothing serious, in both themes, with a dialog open, and at the door', async () => {
	const faults = [];
	const look = async (name) => faults.push(...(await seriousFaults(page)).map((fault) => `${name}, ${fault}`));

	for (const theme of ['light', 'dark']) {
		await page.getByLabel('Colours').selectOption(theme);
		for (const name of [...everyPage, 'requests/35']) {
			await open(name);
			await look(`${theme} ${name}`);
		}
		await open('requests/46');
		await page.getByRole('button', { name: 'Veto' }).click();
		await look(`${theme} veto`);
		await page.getByRole('button', { name: 'Cancel' }).click();
	}
	await page.getByRole('button', { name: 'Sign out' }).click();
	await page.getByRole('button', { name: 'With a security key' }).waitFor();
	await look('dark signin');
	assert.deepEqual(faults, []);
});

test('a request fits a screen of 360 pixels, and prints without what is for the screen only', async () => {
	await sato.signIn();
	await page.setViewportSize({ width: 360, height: 740 });
	for (const name of [...everyPage, 'requests/35']) {
		await open(name);
		assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360), name);
	}
	await open('requests/35');
	await page.emulateMedia({ media: 'print' });
	assert.equal(await page.locator('header.side').isVisible(), false);
	assert.equal(await page.locator('.statement').isVisible(), true);
	assert.equal(await page.locator('main button:visible').count(), 0);
	await page.emulateMedia({ media: null });
});

test('no page complained, and nothing was asked of another origin', () => assert.deepEqual(complaints, []));

const failed = await runAll();
await browser.close();
await mock.close();
process.exit(failed > 0 ? 1 : 0);
