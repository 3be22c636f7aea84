/*
 * The console of a whole gateway over SoftHSM2, from enrolment to evidence: people in browser contexts with security
 * keys, a CA that waits in C_Sign, an auditor beside it. One gateway and one browser for all cases, in this order.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seriousFaults } from './axe.mjs';
import { Browser, complaints } from './browser.mjs';
import { Gateway } from './gateway.mjs';
import { altered, approveIn, enrolAll, knowLedger, openRequest } from './people.mjs';
import { Pictures } from './pictures.mjs';
import { runAll, test } from './tap.mjs';

const dir = process.env.KMN_CONSOLE_DIR;
const gateway = Gateway.up(dir);
const browser = await Browser.start();
const people = {};
const seen = {}; /* what one case leaves for the next */
const pictures = new Pictures();
const policyNames = ['sato', 'suzuki', 'tanaka'];

/* ---- enrolment ------------------------------------------------------------------------------------------------ */

test('three people enrol security keys; the files make policy lines, and version 2 is signed and taken', async () => {
	Object.assign(people, await enrolAll(browser, gateway, policyNames));
	assert.match(gateway.kanmon('status', '--json'), /"policy_version": 2/);
});

test('each signs in with their own key, and is who the policy says', async () => {
	for (const name of policyNames) {
		await people[name].signIn();
		assert.equal(await people[name].page.locator('.who .person').textContent(), name);
	}
});

test('the browser knows the ledger once somebody gave it the trust file', async () => {
	for (const name of policyNames)
		await knowLedger(people[name], gateway);
});

/* ---- approving ------------------------------------------------------------------------------------------------ */

test('a key pair is made when two people approved in two browsers, each seeing the other’s answer arrive', async () => {
	const call = gateway.caBeside('keygen', 'root-ca', '01');
	const id = await gateway.waiting('root-ca');

	await Promise.all([openRequest(people.sato, id), openRequest(people.suzuki, id)]);
	assert.equal(await approveIn(people.sato), 'Recorded, and it counts.');
	await people.suzuki.page.locator('.vote.approved_by', { hasText: 'sato' }).waitFor();
	assert.equal(call.isDone(), false);
	assert.equal(await approveIn(people.suzuki), 'Recorded, and it counts.');
	const { status, output } = await call.done;
	assert.equal(status, 0, output);
	gateway.ca('root');
});

test('OpenSSL waits in C_Sign for a certificate; two custodians approve what it says; OpenSSL has it', async () => {
	const id = Number(gateway.ca('ask', '4B616E6D6F6E0000000A', 'www.example.jp'));
	const call = gateway.caBeside('sign', '4B616E6D6F6E0000000A');

	await people.sato.goto('#/requests');
	await people.sato.page.locator(`#request-${id}`).waitFor();
	await pictures.take(people.sato.page, 'requests', { viewport: { width: 1280, height: 560 } });
	await openRequest(people.sato, id);
	await pictures.take(people.sato.page, 'request', { fullPage: true });
	assert.match(await people.sato.page.locator('.content .common').textContent(), /^www\.example\.jp$/);
	assert.equal(await people.sato.page.locator('.verdict.failed').count(), 0);
	await people.sato.page.getByRole('button', { name: 'Approve' }).click();
	await pictures.take(people.sato.page, 'approve', { viewport: { width: 1280, height: 720 } });
	await people.sato.page.getByRole('button', { name: 'Cancel' }).click();
	await approveIn(people.sato);
	await openRequest(people.tanaka, id);
	assert.equal(call.isDone(), false);
	await approveIn(people.tanaka);
	const { status, output } = await call.done;
	assert.equal(status, 0, output);
	seen.signed = id;
});

test('a request that two people reject ends, with their reasons in the ledger', async () => {
	const id = Number(gateway.ca('ask', '4B616E6D6F6E0000000B', 'not-in-the-script.example'));

	for (const name of ['sato', 'tanaka']) {
		await openRequest(people[name], id);
		await people[name].page.getByRole('button', { name: 'Reject' }).click();
		await people[name].page.getByLabel('Reason').fill('not in the ceremony script');
		await people[name].page.getByRole('button', { name: 'Sign with the security key' }).click();
		await people[name].page.locator('#outcome').waitFor();
	}
	await people.suzuki.goto(`#/requests/${id}`);
	await people.suzuki.page.locator('.state-rejected').waitFor();
	assert.match(gateway.kanmon('audit', 'show', gateway.env.LEDGER, '--raw'), /reason not in the ceremony script/);
});

test('a request that expires while somebody looks says so, and takes no signature any more', async () => {
	const id = Number(gateway.ca('ask', '4B616E6D6F6E0000000C', 'late.example', '--lifetime', '5'));
	const { page } = people.sato;

	await openRequest(people.sato, id);
	assert.equal(await page.locator('#do-approve').count(), 1);
	await page.locator('#no-vote', { hasText: 'has expired while you were looking' }).waitFor();
	await page.locator('#do-approve').waitFor({ state: 'detached' });
});

/* ---- evidence ------------------------------------------------------------------------------------------------- */

test('the operation’s line says verified, and opened it shows the chain from the screens to the record', async () => {
	const { page } = people.suzuki;

	await people.suzuki.goto('#/operations');
	seen.line = page.locator('.operation', { hasText: 'certificate of www.example.jp' });
	await seen.line.locator('.line-verdict .verdict.ok').waitFor();
	await seen.line.locator('.opener').click();
	await seen.line.locator('.step').last().waitFor();
	/* All but how a certificate's bytes read in words: that is made again by kanmon's own tools. */
	for (const text of await seen.line.locator('.step.failed, .step.unknown').allTextContents())
		assert.match(text, /but for the words of the content/);
	await pictures.take(page, 'operations', { viewport: { width: 1280, height: 1180 } });
	assert.match(await seen.line.locator('.chain').textContent(), /screens showed the statement, byte for byte.*sato, tanaka: each signature verifies.*the signature verifies under the key/s);
});

test('no line of what the HSM did is anything but verified', async () => {
	const { page } = people.suzuki;

	await page.waitForFunction(() => [...document.querySelectorAll('.line-verdict')].every((one) => one.querySelector('.verdict') !== null));
	assert.deepEqual(await page.locator('.operation:has(.line-verdict .verdict:not(.ok)) .what').allTextContents(), []);
});

test('its bundle is one click away; the auditor’s tool accepts it, and so does the page it is dropped on', async () => {
	const { page } = people.suzuki;
	const bundle = join(gateway.work, 'operation.bundle');
	const [download] = await Promise.all([page.waitForEvent('download'), seen.line.getByRole('button', { name: 'Download the bundle' }).click()]);

	await download.saveAs(bundle);
	const { status, output } = gateway.tried('audit', 'bundle', 'verify', bundle, '--trust', gateway.env.TRUST);
	assert.equal(status, 0, output);
	await people.suzuki.goto('#/verify');
	await page.getByLabel('Drop a bundle here').setInputFiles([gateway.env.TRUST, bundle]);
	await page.locator('.chain-verdict .verdict.ok').waitFor();
	await pictures.take(page, 'verify', { viewport: { width: 1280, height: 1000 } });
});

/* ---- the rest of the pages ------------------------------------------------------------------------------------ */

test('keys, tokens, persons and clients are what the HSM, the policy and the channels are', async () => {
	const { page } = people.suzuki;

	await people.suzuki.goto('#/keys');
	await page.locator('.card', { hasText: 'root-ca' }).getByText('Made inside the HSM').waitFor();
	await pictures.take(page, 'keys', { viewport: { width: 1280, height: 900 } });
	await people.suzuki.goto('#/custodians');
	await page.locator('.person-card').nth(2).waitFor();
	await pictures.take(page, 'custodians', { viewport: { width: 1280, height: 760 } });
	await people.suzuki.goto('#/health');
	await page.locator('.table').getByText('TLSv1.3').first().waitFor();
	await page.locator('[aria-labelledby=sessions]').getByText(/TLS1\.3, TLS_(AES|CHACHA20)_/).first().waitFor();
	await pictures.take(page, 'health', { viewport: { width: 1280, height: 900 } });
});

test('a next version of the policy is written, checked, signed by two people, each at their own screen, and taken', async () => {
	const { page } = people.sato, other = people.suzuki.page;

	await people.sato.goto('#/policy');
	await page.locator('.propose > summary').click();
	const text = await page.locator('#draft').inputValue();
	await page.locator('#draft').fill(`${text.replace(/expires 4h/, 'expires 2h')}`);
	await page.locator('#propose-check').click();
	await page.getByText('The gateway would read this policy').waitFor();
	await pictures.take(page, 'policy', { viewport: { width: 1280, height: 1000 } });
	await people.suzuki.goto('#/policy');
	await page.locator('#propose-sign').click();
	await page.getByRole('dialog').getByRole('button', { name: 'Sign with the security key' }).click();
	await page.locator('.draft').getByText('You have signed it.').waitFor();
	const draft = other.locator('.draft', { hasText: 'Version 3 of the policy' });
	await draft.waitFor();
	const changes = await draft.locator('.diff li').allTextContents();
	assert.deepEqual(changes.filter((line) => !/version|previous/.test(line)), ['−  expires 4h', '+  expires 2h']);
	await pictures.take(other, 'draft', { viewport: { width: 1280, height: 760 } });
	await draft.locator('.sign-draft').click();
	await other.getByRole('dialog').getByRole('button', { name: 'Sign with the security key' }).click();
	await other.getByRole('heading', { name: 'In force: version 3' }).waitFor();
	await page.getByRole('heading', { name: 'In force: version 3' }).waitFor();
	assert.equal(await other.locator('.draft').count(), 0);
});

test('in Japanese every word changes but those that are signed', async () => {
	const id = Number(gateway.ca('ask', '4B616E6D6F6E0000000D', 'www.example.jp'));
	const { page } = people.tanaka;

	await page.getByLabel('Language').selectOption('ja');
	await people.tanaka.goto(`#/requests/${id}`);
	await page.getByRole('heading', { level: 1, name: `依頼 ${id}` }).waitFor();
	const lines = await page.locator('.statement .line').allTextContents();
	const { statement } = JSON.parse(gateway.kanmon('request', 'show', String(id), '--json', '--as', join(gateway.env.CUSTODIAN_DIR, 'sato')));
	assert.equal(`${lines.join('\n')}\n`, statement);
	seen.japanese = id;
	await page.getByLabel('配色').selectOption('dark');
	await pictures.take(page, 'request-ja', { viewport: { width: 1280, height: 1000 } });
	await pictures.take(page, 'request-phone-ja', { viewport: { width: 360, height: 780 } });
	await page.getByLabel('配色').selectOption('light');
	await pictures.take(page, 'request-phone', { viewport: { width: 360, height: 780 } });
});

test('the code on the screen is the one that kanmon request show and kanmon approve show', async () => {
	const codeOf = (text) => /\b[0-9A-Z]{4}(-[0-9A-Z]{4}){5}\b/.exec(text)?.[0];
	const shown = gateway.kanmon('request', 'show', String(seen.japanese), '--as', join(gateway.env.CUSTODIAN_DIR, 'suzuki'));
	const { output } = gateway.vote('approve', 'sato', seen.japanese);

	assert.equal(await people.tanaka.page.locator('#display-code').textContent(), codeOf(output));
	assert.equal(codeOf(shown), codeOf(output));
	await people.tanaka.page.getByLabel('言語').selectOption('en');
});

test('axe-core finds nothing serious on the pages of a gateway, in both themes, and print leaves out the frame', async () => {
	const { page } = people.suzuki;
	const faults = [];

	for (const theme of ['light', 'dark']) {
		await page.getByLabel('Colours').selectOption(theme);
		for (const name of ['requests', `requests/${seen.signed}`, 'operations', 'keys', 'policy', 'custodians', 'health']) {
			await people.suzuki.goto(`#/${name}`);
			await page.locator('main[data-ready="true"] h1').waitFor();
			faults.push(...(await seriousFaults(page)).map((fault) => `${theme} ${name}, ${fault}`));
		}
	}
	assert.deepEqual(faults, []);
	await page.emulateMedia({ media: 'print' });
	assert.equal(await page.locator('header.side').isVisible(), false);
	await page.emulateMedia({ media: null });
});

/* ---- who lies ------------------------------------------------------------------------------------------------- */

/* One character of what this finds is another. */
const bend = (pattern) => (text) => text.replace(pattern, (whole) => whole.slice(0, -1) + (whole.endsWith('A') ? 'B' : 'A'));
/* The record's three parts: its head, its line, its path. */
function withoutRecord(text, type) {
	const lines = text.split('\n');
	const at = lines.findIndex((line) => line.endsWith(`"type":"${type}","v":1}`));
	const end = lines.findIndex((line, i) => i > at && /^(record|consistency) /.test(line));
	return lines.toSpliced(at - 1, end - at + 1).join('\n');
}

const lies = [
	['a digest changed', /not in the tree/, bend(/"in":\{"len":\d+,"sha256":"./)],
	['a record hidden: the approval', /does not stand on the votes|another form|not enough/, (text) => withoutRecord(text, 'approval')],
	['a record hidden: the decision', /stands on no decision|not in the tree|no decision/, (text) => withoutRecord(text, 'decision')],
	['an approval swapped for another person’s', /not in the tree/, (text) => text.replace(/("check":"ok","note":"[^"]*— )sato/, '$1suzuki')],
	['another result of the HSM', /not in the tree/, bend(/"out":\{"b64":"./)],
	['another root in the checkpoint', /not signed by the log key|does not verify/, bend(/^checkpoint \d+\n.*\n\d+\n./m)],
];
for (const [says, why, change] of lies)
	test(`an API that lies, ${says}: the browser’s own check fails on the operation’s line`, async () => {
		const { page } = people.suzuki;
		const honest = await altered(people.suzuki, 'operations/*/bundle', change);

		await people.suzuki.goto('#/health');
		await people.suzuki.goto('#/operations');
		const line = page.locator('.operation', { hasText: 'certificate of www.example.jp' });
		await line.locator('.line-verdict .verdict.failed').waitFor();
		await line.locator('.opener').click();
		assert.match((await line.locator('.step.failed').allTextContents()).join('\n'), why);
		await honest();
	});

test('an API that shows another statement: what the page shows is not what is recorded, and nothing can be signed', async () => {
	const honest = await altered(people.suzuki, `requests/${seen.japanese}`, (text) => text.replaceAll('www.example.jp', 'www.honest.jp'));
	const { page } = people.suzuki;

	await people.suzuki.goto(`#/requests/${seen.japanese}`);
	await page.getByText('is NOT the recorded statement').waitFor();
	assert.equal(await page.locator('#do-approve').isDisabled(), true);
	await honest();
});

test('an API that serves an old checkpoint: an alarm that stays', async () => {
	const { page } = people.suzuki;
	const old = await page.evaluate(async () => (await fetch('/api/v1/ledger/checkpoint')).text());

	gateway.kanmon('attest', '--file', gateway.env.TRUST, '--title', 'a record more', '--kind', 'other', '--as',
		join(gateway.env.CUSTODIAN_DIR, 'sato'), ...gateway.custodian('sato'));
	await page.waitForFunction((size) => Number(JSON.parse(localStorage.getItem('kanmon.trust')).head.size) > size, Number(JSON.parse(old).note.split('\n')[1]));
	const honest = await altered(people.suzuki, 'ledger/checkpoint', () => old);
	await page.reload();
	await page.locator('#trust-alarm', { hasText: 'an older ledger' }).waitFor();
	await honest();
	await page.reload();
	await page.locator('#trust-alarm', { hasText: 'an older ledger' }).waitFor();
	await page.getByRole('button', { name: 'Forget this ledger' }).click();
	await page.getByLabel('Trust file').setInputFiles(gateway.env.TRUST);
	await page.locator('#trust-strip .verdict.ok').waitFor();
});

/* Console files that show A while B is signed: `thorough` ones report B as shown, too. */
async function lyingFiles(person, thorough) {
	await person.page.route('**/js/statement.js', async (route) => {
		const response = await route.fetch();
		const source = (await response.text()).replace("el('span', { class: 'v' }, withHashes(line.value))", "el('span', { class: 'v' }, line.value.replaceAll('evil', 'good'))")
			.replace(/export const displayedText = .*;/, (whole) => (thorough
				? "export const displayedText = (list) => [...list.querySelectorAll('.line')].map((item) => `${item.textContent.replaceAll('good', 'evil')}\\n`).join('');" : whole));
		await route.fulfill({ response, body: source });
	});
	await person.page.reload();
	await person.page.locator('main[data-ready="true"]').waitFor();
}

test('console files that show A while B would be signed are betrayed by what they report; the auditor finds the screen', async () => {
	const id = Number(gateway.ca('ask', '4B616E6D6F6E0000000E', 'www.evil.example'));
	seen.betrayed = id;
	const { page } = people.suzuki;

	await lyingFiles(people.suzuki, false);
	await people.suzuki.goto(`#/requests/${id}`);
	await page.getByText('is NOT the recorded statement').waitFor();
	assert.match(await page.locator('.statement').textContent(), /www\.good\.example/);
	assert.equal(await page.locator('#do-approve').isDisabled(), true);
	gateway.vote('reject', 'sato', id, '--reason', 'not asked for');
	gateway.vote('reject', 'tanaka', id, '--reason', 'not asked for');
	await page.waitForTimeout(1200);
	const bundle = gateway.tried('audit', 'bundle', gateway.env.LEDGER, String(id));
	const file = join(gateway.work, 'screen.bundle');
	writeFileSync(file, bundle.output);
	const { status, output } = gateway.tried('audit', 'bundle', 'verify', file, '--trust', gateway.env.TRUST);
	assert.equal(status, 1, output);
	assert.match(output, /screen +(?!ok)/);
});

test('console files that lie about the report as well: a rule with `independent` does not run on browsers alone, and kanmon shows what is signed', async () => {
	const keygen = gateway.caBeside('keygen', 'strict', '02');
	const made = await gateway.waiting('strict');
	gateway.vote('approve', 'sato', made);
	gateway.vote('approve', 'tanaka', made);
	assert.equal((await keygen.done).status, 0);
	const data = join(gateway.work, 'evil.txt');
	writeFileSync(data, 'what www.evil.example wants');
	const call = gateway.caBeside('raw', 'strict', '02', data);
	const id = await gateway.waiting('strict');

	for (const name of ['sato', 'suzuki']) {
		await lyingFiles(people[name], true);
		await people[name].goto(`#/requests/${id}`);
		await people[name].page.getByText('was reported to the ledger').waitFor();
		assert.equal(await people[name].page.locator('#not-independent').count(), 1);
		assert.equal(await approveIn(people[name]), 'Recorded, and it counts.');
	}
	await new Promise((done) => setTimeout(done, 500));
	assert.equal(call.isDone(), false);
	const shown = gateway.kanmon('request', 'show', String(id), '--as', join(gateway.env.CUSTODIAN_DIR, 'tanaka'));
	assert.match(shown, /independent 1/);
	assert.equal(gateway.vote('veto', 'tanaka', id, '--reason', 'a browser showed something else').status, 0);
	/* pkcs11-tool then tries the same in parts. */
	gateway.vote('veto', 'tanaka', await gateway.waiting('strict'), '--reason', 'a browser showed something else');
	assert.notEqual((await call.done).status, 0);
	for (const name of ['sato', 'suzuki'])
		await people[name].page.unroute('**/js/statement.js');
});

/* ---- at the end ----------------------------------------------------------------------------------------------- */

test('the auditor verifies the ledger of all this, and finds the two screens that lied, and nothing else', () => {
	gateway.down();
	const { status, output } = gateway.tried('audit', 'verify', gateway.env.LEDGER, '--trust', gateway.env.TRUST);
	const findings = output.split('\n').filter((line) => line.startsWith('finding'));

	assert.equal(status, 1, output);
	assert.deepEqual(findings.map((line) => line.replace(/^.*: /, '')), [seen.japanese, seen.betrayed]
		.map((id) => `the screen showed something else than the statement of request ${id}`), output);
});

test('no page complained, and nothing was asked of another origin', () => assert.deepEqual(complaints, []));

const failed = await runAll({ chained: true, explain: async () => (await Promise.all(Object.values(people)
	.map(async ({ name, page }) => `${name} at ${page.url()}: ${(await page.locator('main').innerText()).slice(0, 600)}`))).concat(complaints).join('\n') });
await browser.close();
gateway.down();
process.exit(failed > 0 ? 1 : 0);
