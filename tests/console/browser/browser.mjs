/* One browser for all cases; contexts are persons, each with a security key of its own. */
import { createRequire } from 'node:module';
import { createPublicKey } from 'node:crypto';

const require = createRequire(`${process.env.KMN_NODE_MODULES}/`);
const { chromium } = require('playwright-core');

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--disable-sync', '--hide-scrollbars', '--font-render-hinting=none'];

/* Every console error and every request that leaves the console's origin, of all pages: none is expected. */
export const complaints = [];

export class Browser {
	static async start() {
		const browser = new Browser();

		browser.inner = await chromium.launch({ executablePath: process.env.KMN_CHROMIUM, args: flags });
		return browser;
	}

	async person(name, origin, options = {}) {
		const context = await this.inner.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', reducedMotion: 'reduce', viewport: { width: 1280, height: 900 }, ...options });
		const page = await context.newPage();
		const person = new Person(name, origin, context, page);

		page.setDefaultTimeout(15000);
		page.on('pageerror', (error) => complaints.push(`${name}: ${error.message}`));
		page.on('console', (message) => {
			if (message.type() === 'error' && !/status of 4\d\d/.test(message.text()))
				complaints.push(`${name}: ${message.text()}`);
		});
		page.on('request', (request) => {
			if (!request.url().startsWith(origin) && !/^(data|blob):/.test(request.url()))
				complaints.push(`${name}: ${request.url()} is not of ${origin}`);
		});
		return person;
	}

	close() {
		return this.inner.close();
	}
}

class Person {
	constructor(name, origin, context, page) {
		Object.assign(this, { name, origin, context, page });
	}

	/* A security key that is plugged in, holds credentials, and verifies its person. */
	async plugIn() {
		this.cdp = await this.context.newCDPSession(this.page);
		await this.cdp.send('WebAuthn.enable');
		const { authenticatorId } = await this.cdp.send('WebAuthn.addVirtualAuthenticator', { options: {
			protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
			automaticPresenceSimulation: true,
		} });
		this.authenticator = authenticatorId;
	}

	/* The credential of this name, made by the key itself; answers its SPKI in PEM. */
	async credential(rpId) {
		const { privateKey, publicKey } = await this.page.evaluate(async () => {
			const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
			const text = async (form, key) => btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.exportKey(form, key))));
			return { privateKey: await text('pkcs8', pair.privateKey), publicKey: await text('spki', pair.publicKey) };
		});

		await this.cdp.send('WebAuthn.addCredential', { authenticatorId: this.authenticator, credential: {
			credentialId: Buffer.from(`${this.name}-0123456789`).toString('base64'), isResidentCredential: true, rpId, privateKey,
			userHandle: Buffer.from(this.name).toString('base64'), signCount: 0,
		} });
		return createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' });
	}

	async goto(hash = '') {
		await this.page.goto(`${this.origin}/${hash}`);
	}

	async signIn() {
		await this.goto();
		await this.page.getByRole('button', { name: /With a security key|セキュリティキーで/ }).click();
		await this.page.locator('.who .person', { hasText: this.name }).waitFor({ state: 'attached' });
	}
}
