// Opens every page of the console in Chromium, and prints what is wrong with it as JSON.
'use strict';
const { createRequire } = require('module');
const fs = require('fs');
const path = require('path');
const load = createRequire(path.join(process.env.NODE_PATH, 'index.js'));
const { chromium } = load('playwright-core');
const axe = fs.readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');
const { URL: base, TOKEN, WEBHOOK, HOSTILE, SCREENSHOTS } = process.env;

const problems = [];
const check = (what, isRight) => { if (!isRight) problems.push(what); };
let pages = 0;

async function open(browser, options) {
  const context = await browser.newContext({ ...options, bypassCSP: false });
  const page = await context.newPage();
  page.on('console', (message) => {
    // The first request of a session is answered with 401 and the sign-in page.
    if (message.type() === 'error' && !message.text().includes('401')) problems.push(`${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`${page.url()}: ${error}`));
  page.on('request', (request) => check(`${page.url()} loads ${request.url()}`, request.url().startsWith(base)));
  return page;
}

async function signIn(page, to) {
  await page.goto(base + to);
  await page.fill('#operator', 'Asha Rao');
  await page.fill('#token', TOKEN);
  await page.press('#token', 'Enter');
  await page.waitForSelector('text=Signed in as');
}

// Waits until a page that shows the progress of a reading has loaded itself again.
async function settled(page) {
  await page.waitForFunction(() => !document.querySelector('meta[http-equiv=refresh]'));
}

// Plans a replay of refused letters, at most this many, and starts it at one letter per second.
async function startReplay(page, max) {
  await page.goto(`${base}/dead-letters/plan?reason=refused`);
  await page.waitForSelector('#max');
  await page.fill('#rate', '1');
  await page.fill('#max', max);
  await page.click('button:has-text("Replay reason = refused")');
  await page.waitForSelector('h2:has-text("State: running")');
}

async function inspect(page, name) {
  await settled(page);
  pages += 1;
  // The policy of the page forbids other scripts, so axe runs in the isolated world of the debugger.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  await session.send('Runtime.evaluate', { expression: axe, contextId: executionContextId });
  const { result } = await session.send('Runtime.evaluate', {
    expression: 'axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }).then((it) => JSON.stringify(it.violations.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 160))])))',
    contextId: executionContextId, awaitPromise: true, returnByValue: true,
  });
  for (const [id, nodes] of JSON.parse(result.value)) problems.push(`${name}: ${id}: ${nodes.join(' ; ')}`);
  check(`${name}: hostile text has run`, !(await page.evaluate(() => window.hostile)));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth + 1);
  check(`${name}: the page is wider than the window`, !wide);
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

async function tour(page, kind) {
  const uuid = encodeURIComponent(HOSTILE);
  for (const [name, to] of [
    ['overview', '/'], ['webhooks', '/webhooks'], ['webhook', `/webhooks/${WEBHOOK}`],
    ['webhook-recorded', `/webhooks/${WEBHOOK}?recorded=true`],
    ['execution', '/executions?uuid=browser-1'], ['execution-hostile', `/executions?uuid=${uuid}&bodies=true&numbers=true`],
    ['dead-letters', '/dead-letters'], ['plan', '/dead-letters/plan?reason=refused'], ['replays', '/replays'],
    ['accounts', '/accounts'], ['account', '/accounts/28'],
  ]) {
    await page.goto(base + to);
    await inspect(page, `${kind}-${name}`);
  }
  await page.goto(`${base}/dead-letters?reason=undecodable`);
  await settled(page);
  await page.click('tbody a');
  await page.click('text=Show the content');
  await inspect(page, `${kind}-letter`);
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'],
  });
  const light = await open(browser, { colorScheme: 'light', viewport: { width: 1280, height: 800 } });
  await light.goto(`${base}/webhooks`);
  await inspect(light, 'light-sign-in');
  await signIn(light, '/webhooks');
  check('the sign-in leads to the page', light.url() === `${base}/webhooks`);
  await tour(light, 'light');

  // Hostile text is shown as text.
  await light.goto(`${base}/executions?uuid=${encodeURIComponent(HOSTILE)}&bodies=true`);
  await settled(light);
  check('hostile text is shown', (await light.textContent('main')).includes('<script>window.hostile'));

  // The keyboard reaches the content, and the first stop skips the navigation.
  await light.goto(`${base}/`);
  await light.keyboard.press('Tab');
  check('the first stop skips the navigation', (await light.evaluate(() => document.activeElement.className)) === 'skip');
  await light.keyboard.press('Enter');
  check('the skip link leads to the content', (await light.evaluate(() => document.activeElement.id)) === 'main');

  // The script replaces the figures without loading the page again.
  await light.evaluate(() => { document.querySelector('[data-live]').firstElementChild.dataset.old = 'yes'; window.same = true; });
  await light.waitForFunction(() => !document.querySelector('[data-old]'));
  check('the page was not loaded again', await light.evaluate(() => window.same));

  // A replay by hand: plan, order, progress, result.
  await light.goto(`${base}/dead-letters?reason=refused`);
  await settled(light);
  await light.click('text=Plan a replay of');
  await settled(light);
  await startReplay(light, '6');
  // The script shows the progress without loading the page again, until the replay has ended.
  await light.evaluate(() => { window.same = true; });
  const sent = 'p[role=status]:has-text("sending: ")';
  const before = await light.textContent(sent);
  await light.waitForFunction(([it, text]) => {
    const now = document.querySelector('p[role=status]');
    return now && now.textContent.startsWith(it) && now.textContent !== text;
  }, ['sending: ', before]);
  check('a page with progress was loaded again', await light.evaluate(() => window.same));
  await light.waitForSelector('h2:has-text("State: finished")');
  check('a replay that has ended can be stopped', !(await light.$('button:has-text("Stop")')));
  await inspect(light, 'light-replay');
  await light.goto(`${base}/webhooks/${WEBHOOK}`);
  await light.click('text=Send a test');
  await light.waitForSelector('text=would be delivered');
  await inspect(light, 'light-test');
  // The charts have values by now.
  await light.goto(`${base}/`);
  await light.waitForFunction(() => document.querySelectorAll('polyline[points*=" "]').length >= 6);
  await light.waitForSelector('svg[aria-label^="undecodable: 1 now, at most 1"]');
  await inspect(light, 'light-overview-later');

  // Without scripts, on a telephone, in the dark.
  const phone = await open(browser, { colorScheme: 'dark', viewport: { width: 360, height: 740 }, javaScriptEnabled: false });
  await phone.goto(`${base}/`);
  await phone.fill('#operator', 'Asha Rao');
  await phone.fill('#token', TOKEN);
  await phone.click('button');
  check('signed in without scripts', (await phone.textContent('body')).includes('Signed in as'));
  for (const to of ['/', '/webhooks', `/webhooks/${WEBHOOK}`, '/dead-letters', '/accounts/28']) await phone.goto(base + to);
  // A replay's page loads itself again until the replay has ended.
  await startReplay(phone, '');
  await phone.waitForSelector('h2:has-text("State: finished")');
  await phone.click('button:has-text("Sign out")');
  check('signed out', (await phone.textContent('h1')) === 'Sign in');

  const dark = await open(browser, { colorScheme: 'dark', viewport: { width: 360, height: 740 } });
  await signIn(dark, '/');
  await tour(dark, 'dark');
  await browser.close();
  console.log(JSON.stringify({ problems, pages }));
}

main().catch((error) => { console.error(error, JSON.stringify(problems)); process.exit(1); });
