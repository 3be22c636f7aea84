/*
 * An operator at the console of a whole gateway over SoftHSM2: what is instructed there, approved by two others in their
 * own browsers, and done by the gateway's runner comes back as a file that openssl takes, with its proof. Then the API
 * lies. At the end what several people sign: a veto of a policy, the reopening of a token. One gateway and one browser for all cases, in this order.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seriousFaults } from './axe.mjs';
import { Browser, complaints } from './browser.mjs';
import { Gateway } from './gateway.mjs';
import { altered, approveIn, enrolAll, knowLedger, openRequest } from './people.mjs';
import { Pictures } from './pictures.mjs';
import { runAll, test } from './tap.mjs';

const names = ['sato', 'suzuki', 'tanaka'];
const gateway = Gateway.up(process.env.KMN_CONSOLE_DIR, 'operator.policy.in', '--operator', 'tanaka');
const browser = await Browser.start();
const people = await enrolAll(browser, gateway, names);
const { tanaka } = people;
const { page } = tanaka;
const pictures = new Pictures();
const seen = {};

const file = (name) => join(gateway.work, name);
const openssl = (...args) => execFileSync('openssl', args, { cwd: gateway.work, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/* Fills the form, signs the text; answers the instruction's number. `fields`: label to value, or to the path of a file. */
async function instruct(what, fields, pin = gateway.env.PIN) {
	await tanaka.goto('#/requests');
	await tanaka.goto('#/actions');
	await page.getByRole('radio', { name: what }).check();
	for (const [label, value] of Object.entries(fields)) {
		const field = page.getByLabel(label, { exact: true });
		const kind = await field.evaluate((node) => (node.tagName === 'SELECT' ? 'select' : node.type));
		await (kind === 'select' ? field.selectOption(value) : kind === 'file' ? field.setInputFiles(value) : field.fill(value));
	}
	await page.getByLabel('Purpose').fill('a test');
	await page.getByRole('button', { name: 'Show what I would sign' }).click();
	if (pin !== null)
		await page.getByLabel('User PIN of the token').fill(pin);
	await page.locator('#sign-instruction').click();
	await page.waitForURL(/#\/actions\/\d+$/);
	return Number(page.url().split('/').at(-1));
}

/* The request that came of the open instruction. */
async function requestOf() {
	const link = page.locator('#progress ~ dl a');

	await link.waitFor();
	return Number((await link.getAttribute('href')).split('/').at(-1));
}

/* That request, decided by these two. */
async function decide(...voters) {
	const id = await requestOf();

	for (const name of voters) {
		await openRequest(people[name], id);
		await people[name].page.getByText('tanaka signed the instruction for it').waitFor();
		await people[name].page.getByRole('heading', { name: 'What tanaka instructed' }).waitFor();
		assert.equal(await approveIn(people[name]), 'Recorded, and it counts.');
	}
	return id;
}

const verified = () => page.locator('.result-verdict .verdict.ok').waitFor();
async function saved(button, name) {
	const [download] = await Promise.all([page.waitForEvent('download'), page.locator(button).click()]);
	await download.saveAs(file(name));
	return download.suggestedFilename();
}

test('three people sign in; one of them operates the console’s client', async () => {
	for (const name of names) {
		await people[name].signIn();
		await knowLedger(people[name], gateway);
	}
	assert.deepEqual(await Promise.all(names.map((name) => people[name].page.getByRole('link', { name: 'Operator’s actions' }).or(
		people[name].page.locator('#nav-actions')).count())), [0, 0, 1]);
});

test('a key is made when two others approved in their browsers, who see which instruction it is for', async () => {
	const number = await instruct('Make a key', { 'Label of the key': 'root-ca', 'Id of the key, hexadecimal': '0a0b', 'Kind of key': 'CKM_RSA_PKCS_KEY_PAIR_GEN 2048' });
	const id = await decide('sato');

	assert.ok((await people.sato.page.locator('.statement .line').allTextContents()).includes(`application action ${number}`));
	await page.getByText('approved by sato').waitFor();
	await openRequest(tanaka, id);
	assert.equal(await page.locator('#do-approve').count(), 0);
	await tanaka.goto(`#/actions/${number}`);
	await decide('suzuki');
	await verified();
	assert.match(await saved('#save-pem', 'root.pub'), /^public-key-\d+\.pub\.pem$/);
	assert.match(openssl('pkey', '-pubin', '-in', 'root.pub', '-noout', '-text'), /2048 bit/);
	seen.made = number;
});

test('a certificate is signed from a file: verified, and openssl takes what is saved', async () => {
	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'throwaway.key', '-subj', '/C=JP/O=Example/CN=Root CA G1', '-days', '30', '-sha256', '-out', 'pre.pem');
	openssl('x509', '-in', 'pre.pem', '-force_pubkey', 'root.pub', '-signkey', 'throwaway.key', '-out', 'root-pre.pem', '-days', '30');
	seen.signed = await instruct('Sign', { 'Label of the key': 'root-ca', 'Certificate, CRL or request to be signed (PEM or DER)': file('root-pre.pem') });
	await decide('sato', 'suzuki');
	await verified();
	assert.match(await page.locator('.content .common').textContent(), /Root CA G1/);
	await pictures.take(page, 'instruction', { viewport: { width: 1280, height: 1250 } });
	await saved('#save-pem', 'root.pem');
	await saved('#save-der', 'root.der');
	assert.match(openssl('verify', '-check_ss_sig', '-CAfile', 'root.pem', 'root.pem'), /OK/);
	assert.equal(openssl('x509', '-inform', 'DER', '-in', 'root.der'), openssl('x509', '-in', 'root.pem'));
});

test('the chain on its page is that of the Operations page, and says who approved', async () => {
	const text = await page.locator('.chain').textContent();

	assert.match(text, /signed by tanaka, in record \d+.*the call is the one that the instruction wants.*sato, suzuki: each signature verifies.*the same bytes as the records make/s);
	await tanaka.goto('#/operations');
	const line = page.locator('.operation', { hasText: `action ${seen.signed}` });
	await line.locator('.line-verdict .verdict.ok').waitFor();
});

test('after a reload the list has what was instructed, and each leads to its result', async () => {
	await tanaka.goto('#/actions');
	await page.reload();
	await page.locator(`#instruction-${seen.signed}`).click();
	await verified();
	assert.deepEqual(await seriousFaults(page), []);
});

/* Whole structures by openssl, each taken apart and put together again by what the page makes a result with. */
test('what the page makes of contents and signatures is what openssl makes, byte for byte', async () => {
	openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ec.key');
	openssl('req', '-x509', '-key', 'ec.key', '-subj', '/CN=EC', '-days', '3', '-sha256', '-outform', 'DER', '-out', 'ec.der');
	openssl('req', '-new', '-key', 'ec.key', '-subj', '/CN=EC', '-sha384', '-outform', 'DER', '-out', 'ec.csr');
	openssl('req', '-new', '-key', 'throwaway.key', '-subj', '/CN=RSA', '-sha512', '-outform', 'DER', '-out', 'rsa.csr');
	writeFileSync(file('index.txt'), '');
	writeFileSync(file('ca.conf'), '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=3\n');
	openssl('ca', '-config', 'ca.conf', '-gencrl', '-cert', 'pre.pem', '-keyfile', 'throwaway.key', '-out', 'rsa.crl.pem');
	openssl('crl', '-in', 'rsa.crl.pem', '-outform', 'DER', '-out', 'rsa.crl');
	const wholes = [['ec.der', 'CKM_ECDSA_SHA256', 'certificate'], ['ec.csr', 'CKM_ECDSA_SHA384', 'certificate-request'],
		['rsa.csr', 'CKM_SHA512_RSA_PKCS', 'certificate-request'], ['rsa.crl', 'CKM_SHA256_RSA_PKCS', 'crl'], ['root.der', 'CKM_SHA256_RSA_PKCS', 'certificate']];
	const made = await page.evaluate(async (given) => {
		const [{ wholeOf }, { b64, hex, unb64 }, { bits, each, inside, SEQUENCE }, { flatEcdsa }] = await Promise.all(
			['issued.js', 'verify/bytes.js', 'verify/der.js', 'verify/spki.js'].map((name) => import(`/js/${name}`)));
		return Promise.all(given.map(async ({ whole, mechanism }) => {
			const [signed, , last] = inside(unb64(whole), (outer) => each(outer.take(SEQUENCE).inner, (der) => der.any()));
			const signature = bits(last.inner).bytes;
			const ec = mechanism.includes('ECDSA');
			const call = { in: { sha256: 'x' }, mech: { name: mechanism }, norm: { scheme: ec ? 'ecdsa' : 'rsa-pkcs1' } };
			const result = await wholeOf({ call, blobs: new Map([['x', signed.whole]]), ends: [{ body: { rv: 0, out: { b64: b64(ec ? flatEcdsa(signature, 32) : signature) } } }] });
			return [result.form, hex(result.bytes) === hex(unb64(whole))];
		}));
	}, wholes.map(([name, mechanism]) => ({ whole: readFileSync(file(name)).toString('base64'), mechanism })));
	assert.deepEqual(made, wholes.map(([, , form]) => [form, true]));
});

/* ---- who lies ------------------------------------------------------------------------------------------------- */

const other = (text) => {
	const answer = JSON.parse(text);
	const bytes = Buffer.from(answer.result, 'base64');
	bytes[bytes.length - 1] ^= 1;
	return JSON.stringify({ ...answer, result: bytes.toString('base64') });
};

for (const [says, path, change, why] of [
	['another certificate', () => `instructions/${seen.signed}`, other, /the gateway gives something else than the records prove/],
	['another public key', () => `instructions/${seen.made}`, other, /the gateway gives something else than the records prove/],
	['another instruction’s request', () => `instructions/${seen.signed}`, (text, made) => JSON.stringify({ ...JSON.parse(text), request: made.request }),
		/the call is not what the instruction wants: application/],
	['another instruction’s record', () => 'ledger/records*', (text) => text.replace(/purpose a test/g, 'purpose a joke'), /is not in the tree/],
])
	test(`an API that lies, ${says}: the page notices, and nothing can be saved`, async () => {
		const made = await page.evaluate(async (number) => (await fetch(`/api/v1/instructions/${number}`)).json(), seen.made);
		const number = says === 'another public key' ? seen.made : seen.signed;
		const honest = await altered(tanaka, path(), (text) => change(text, made));

		await tanaka.goto('#/requests');
		await tanaka.goto(`#/actions/${number}`);
		await page.locator('.result-verdict .verdict.failed').waitFor();
		await page.getByText('Nothing of it can be saved here').waitFor();
		assert.match(await page.locator('main').innerText(), why);
		assert.equal(await page.locator('#save-pem, #save-der').count(), 0);
		await honest();
	});

test('an API that lies, another text than was typed: it is not signed', async () => {
	const honest = await altered(tanaka, 'instructions/begin', (text) => text.replace('root-ca', 'issuing-ca'));

	await tanaka.goto('#/actions');
	await page.getByRole('radio', { name: 'Destroy a key' }).check();
	await page.getByLabel('Label of the key').fill('root-ca');
	await page.getByLabel('Purpose').fill('a test');
	await page.getByRole('button', { name: 'Show what I would sign' }).click();
	await page.getByText('does not say what you typed: key-label').waitFor();
	assert.equal(await page.locator('#sign-instruction').isEnabled(), false);
	await honest();
});

test('a line of the Operations page that names another key than its records is FAILED, though its evidence holds', async () => {
	const honest = await altered(tanaka, 'operations?*', (text) => text.replaceAll('root-ca', 'honest-ca'));

	await tanaka.goto('#/operations');
	await page.locator('.operation', { hasText: `action ${seen.signed}` }).locator('.line-verdict .verdict.failed').waitFor();
	await honest();
});

/* ---- refusals, the end of a key, a window ----------------------------------------------------------------------- */

test('a wrong PIN is said, with what to do', async () => {
	await instruct('Destroy a key', { 'Label of the key': 'root-ca' }, '0000');
	await page.locator('.state-failed').waitFor();
	await page.getByText('CKR_PIN_INCORRECT').waitFor();
	await page.getByText('The PIN was wrong.').waitFor();
});

test('a refusal names the rule, who refused, the reason, and the way out', async () => {
	await instruct('Destroy a key', { 'Label of the key': 'root-ca' });
	const link = page.locator('#progress ~ dl a');
	await link.waitFor();
	const id = Number((await link.getAttribute('href')).split('/').at(-1));
	const voter = people.suzuki.page;
	await openRequest(people.suzuki, id);
	await voter.getByRole('button', { name: 'Veto' }).click();
	await voter.getByLabel('Reason').fill('it is still needed');
	await voter.getByRole('button', { name: 'Sign with the security key' }).click();
	await page.locator('.state-failed').waitFor();
	await page.getByText('suzuki says: it is still needed').waitFor();
	const words = await page.locator('.wide').innerText();
	assert.match(words, /Request \d+ is over: vetoed\. Rule of the policy: keys-and-tokens/);
	assert.match(words, /Talk to those who gave it/);
	await pictures.take(page, 'instruction-refused', { viewport: { width: 1280, height: 900 } });
});

test('a window is opened by two others; inside it the same key signs without asking them again', async () => {
	await instruct('Make a key', { 'Label of the key': 'issuing-ca', 'Id of the key, hexadecimal': '0c', 'Kind of key': 'CKM_RSA_PKCS_KEY_PAIR_GEN 2048' });
	await decide('sato', 'suzuki');
	await verified();
	const number = await instruct('Open a window', { 'Label of the key': 'issuing-ca', 'Rule of the policy': 'windowed' }, null);
	const id = await decide('sato', 'suzuki');
	await tanaka.goto(`#/requests/${id}`);
	await page.locator('.state-window').waitFor();
	await tanaka.goto(`#/actions/${number}`);
	await page.getByText('The window is open').waitFor();
	await verified();
	await instruct('Sign', { 'Label of the key': 'issuing-ca', 'Certificate, CRL or request to be signed (PEM or DER)': file('root-pre.pem') });
	await verified();
	assert.match(await page.locator('.chain').textContent(), /the same bytes as the records make/);
});

test('the key is destroyed when two others approved it; an instruction that was altered on its way to one is noticed', async () => {
	await instruct('Destroy a key', { 'Label of the key': 'root-ca', 'Id of the key, hexadecimal': '0a0b' });
	const id = await requestOf();
	const honest = await altered(people.sato, 'ledger/records?*', (text) => text.replaceAll('root-ca', 'issuing-ca'));
	await people.sato.goto(`#/requests/${id}`);
	await people.sato.page.locator('.checks').getByText('not in the tree').waitFor();
	await people.sato.page.locator('.decide [role=alert]').waitFor();
	await honest();
	await people.sato.goto('#/requests');
	await decide('sato', 'suzuki');
	await verified();
	await page.getByText('The key is destroyed.').waitFor();
});

test('who has a terminal line signs in by that key’s certificate; a browser without one is told so', async () => {
	const name = 'sato', at = join(gateway.env.CUSTODIAN_DIR, name);
	const bare = await browser.person('bare', gateway.origin);
	const terminal = await browser.person('terminal', gateway.origin, {
		clientCertificates: [{ origin: gateway.origin, certPath: `${at}.crt`, keyPath: `${at}.tls.key` }] });

	for (const { page: door } of [bare, terminal]) {
		await door.goto(gateway.origin);
		await door.getByRole('button', { name: 'With a client certificate' }).click();
	}
	await bare.page.getByRole('alert').waitFor();
	assert.match(await bare.page.getByRole('alert').textContent(), /certificate/);
	await terminal.page.locator('.who .person', { hasText: name }).waitFor();
	await terminal.page.getByRole('heading', { name: 'Requests' }).waitFor();
});

/* ---- what several people sign --------------------------------------------------------------------------------- */

test('a version that one person brings as recovery waits, is read in a browser, and is vetoed there', async () => {
	const { page: reader } = people.suzuki;

	gateway.nextPolicy((text) => text.replace('role policy 2 sato suzuki tanaka', 'role policy 1 tanaka'), ['tanaka'], '--recovery');
	await people.suzuki.goto('#/policy');
	await reader.getByRole('heading', { name: 'Waiting: version 3' }).waitFor();
	assert.match(await reader.locator('.diff').innerText(), /−\s*role policy 2 sato suzuki tanaka\s*\+\s*role policy 1 tanaka/);
	await pictures.take(reader, 'waiting-policy', { viewport: { width: 1280, height: 900 } });
	await reader.getByRole('button', { name: 'Veto' }).click();
	await reader.getByLabel('Reason').fill('nobody lost a key');
	await reader.getByRole('dialog').getByRole('button', { name: 'Sign with the security key' }).click();
	await reader.getByRole('heading', { name: 'Waiting: version 3' }).waitFor({ state: 'detached' });
	assert.match(gateway.kanmon('audit', 'show', gateway.env.LEDGER, '--raw'), /reason nobody lost a key/);
	assert.match(gateway.kanmon('status', '--json'), /"policy_version": 2/);
});

test('a token that an anomaly closed is reopened from the Health page by two people', async () => {
	const token = gateway.env.TOKEN;
	const [first, second] = [people.sato.page, people.suzuki.page];

	gateway.nextPolicy((text) => text.replace(new RegExp(`^token ${token}$`, 'm'), `token ${token} serial 0\nstance ${token} seal`), ['sato', 'suzuki']);
	gateway.p11('-O');
	await people.sato.goto('#/health');
	await first.getByRole('heading', { name: `Token ${token} is closed` }).waitFor();
	assert.match(await first.locator('.closed').innerText(), /what the HSM shows is not what its line says/);
	await pictures.take(first, 'closed', { viewport: { width: 1280, height: 620 } });
	await first.getByRole('button', { name: 'Reopen it' }).click();
	await first.getByLabel('Reason').fill('the HSM was replaced, ticket 4711');
	await first.getByRole('dialog').getByRole('button', { name: 'Sign with the security key' }).click();
	await first.locator('.draft').getByText('You have signed it.').waitFor();
	await people.suzuki.goto('#/requests');
	await second.getByRole('link', { name: `Reopening of token ${token}` }).click();
	await second.locator('.draft .statement', { hasText: 'ticket 4711' }).waitFor();
	await second.locator('.sign-draft').click();
	await second.getByRole('dialog').getByRole('button', { name: 'Sign with the security key' }).click();
	await second.locator('.closed').waitFor({ state: 'detached' });
	assert.match(gateway.kanmon('audit', 'show', gateway.env.LEDGER, '--raw'), /kanmon\/reopen\/v1/);
});

test('no page complained, and nothing was asked of another origin', () => assert.deepEqual(complaints, []));

test('the auditor agrees with all of it', () => {
	gateway.down();
	const { status, output } = gateway.tried('audit', 'verify', gateway.env.LEDGER, '--trust', gateway.env.TRUST);

	assert.equal(status, 0, output);
});

const failed = await runAll({ chained: true, explain: async () => (await Promise.all(Object.values(people).reverse()
	.map(async (one) => `${one.name} at ${one.page.url()}: ${(await one.page.locator('main').innerText()).slice(0, 500)}`))).concat(complaints).join('\n') });
await browser.close();
gateway.down();
process.exit(failed > 0 ? 1 : 0);
