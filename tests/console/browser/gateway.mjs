/* A whole gateway with its console, over SoftHSM2, as tools/sandbox makes it; and the kanmon command beside it. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const source = join(here, '../../..');

export class Gateway {
	/* Custodians sato, suzuki, tanaka have key files; policy 1 is signed by them. */
	static up(dir, policy = 'console.policy.in', ...options) {
		const gateway = new Gateway();

		Object.assign(gateway, { dir, work: join(dir, 'work') });
		mkdirSync(gateway.work, { recursive: true });
		gateway.sandbox('up', join(dir, 'gw'), '--policy', join(here, policy), '--console', 'localhost', ...options);
		const text = execFileSync('bash', ['-c', '. "$0/gw/env" && env -0', dir], { encoding: 'utf8' });
		gateway.env = Object.fromEntries(text.split('\0').filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
		gateway.origin = gateway.env.CONSOLE;
		return gateway;
	}

	sandbox(...args) {
		return execFileSync(join(source, 'tools/sandbox'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
			env: { ...process.env, KANMON_PACKAGES: 'installed' } });
	}

	down() {
		this.sandbox('down', join(this.dir, 'gw'));
	}

	/* The kanmon command; what it printed. Throws where it does not end with 0. */
	kanmon(...args) {
		return execFileSync('kanmon', args, { encoding: 'utf8', env: this.env, cwd: this.work, stdio: ['ignore', 'pipe', 'pipe'] });
	}

	/* The same, and how it ended: {status, output}. */
	tried(...args) {
		try {
			return { status: 0, output: this.kanmon(...args) };
		} catch (error) {
			return { status: error.status, output: `${error.stdout}${error.stderr}` };
		}
	}

	/* As a custodian with a key file. */
	custodian(name) {
		return [`--passphrase-file`, join(this.env.CUSTODIAN_DIR, `${name}.passphrase`), '--yes'];
	}

	vote(decision, name, id, ...more) {
		return this.tried(decision, String(id), '--as', join(this.env.CUSTODIAN_DIR, name), ...this.custodian(name), ...more);
	}

	/* The CA's side (ca.sh): runs to its end, or goes on beside the test ({done: promise of {status, output}}). */
	ca(...args) {
		return execFileSync(join(here, 'ca.sh'), args.map(String), { encoding: 'utf8', env: this.env, cwd: this.work, stdio: ['ignore', 'pipe', 'pipe'] }).trim();
	}

	caBeside(...args) {
		const child = spawn(join(here, 'ca.sh'), args.map(String), { env: this.env, cwd: this.work, stdio: ['ignore', 'pipe', 'pipe'] });
		let output = '', ended = false;

		child.stdout.on('data', (chunk) => { output += chunk; });
		child.stderr.on('data', (chunk) => { output += chunk; });
		const done = new Promise((tell) => child.on('close', (status) => {
			ended = true;
			tell({ status, output });
		}));
		return { done, isDone: () => ended };
	}

	/* Whatever comes of it. */
	p11(...args) {
		try {
			execFileSync('pkcs11-tool', ['--module', this.env.MODULE, ...args], { env: this.env, stdio: 'ignore' });
		} catch (error) {
			if (error.status === null)
				throw error;
		}
	}

	/* The number of the request that waits and has this in its summary, purpose or key. */
	async waiting(word) {
		for (let i = 0; i < 150; i++) {
			const { requests } = JSON.parse(this.kanmon('request', 'list', '--json', '--as', join(this.env.CUSTODIAN_DIR, 'sato')));
			const found = requests.find((request) => request.state === 'open' && `${request.summary} ${request.purpose} ${request.key}`.includes(word));
			if (found !== undefined)
				return found.id;
			await new Promise((done) => setTimeout(done, 100));
		}
		throw new Error(`no request about ${word}`);
	}

	/* The next version of the policy, its text made of the last one's; signed with the key files of `signers`, and brought. */
	nextPolicy(change, signers, ...how) {
		const shown = join(this.work, 'policy.note');
		rmSync(shown, { force: true });
		this.kanmon('policy', 'show', '--out', shown, '--as', join(this.env.CUSTODIAN_DIR, 'sato'));
		const note = readFileSync(shown, 'utf8');
		const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
		const version = Number(/^version (\d+)$/m.exec(text)[1]) + 1;
		const hash = createHash('sha256').update(text).digest('base64');
		const [next, before] = [join(this.work, `policy-${version}`), join(this.work, `policy-${version - 1}.note`)];

		writeFileSync(before, note);
		writeFileSync(next, change(text).replace(/^version .*$/m, `version ${version}`).replace(/^previous .*$/m, `previous ${hash}`));
		for (const name of signers)
			this.kanmon('policy', 'sign', next, '--key', join(this.env.CUSTODIAN_DIR, `${name}.key`), '--previous', before, ...this.custodian(name));
		this.kanmon('policy', 'submit', next, ...how, '--as', join(this.env.CUSTODIAN_DIR, 'sato'));
	}
}
