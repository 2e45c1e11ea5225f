// drive.js shot URL OUT WIDTH light|dark LANG: takes a picture; status 1 on script errors, failed
//   requests, sideways scroll, or text whose contrast is below 4.5 to 1.
// drive.js live URL TEXT [PART]: waits until TEXT is on the open page, which must not have been
//   loaded anew; unfolds PART before, which must still be unfolded.
// drive.js plain URL TEXT: TEXT must be there without JavaScript.
// drive.js silence URL NAME: adds the silence whose conditions are filled in and ends it, by forms
//   without JavaScript.
// drive.js ack URL NAME: fills in the form with the keyboard alone and waits for NAME on the page.
const { chromium } = require('playwright-core');
const [verb, url, ...rest] = process.argv.slice(2);
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const bad = [];

// Contrast of every visible text against the nearest solid background behind it.
const faint = () => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const at of document.querySelectorAll('body *')) {
    const own = [...at.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !at.offsetParent) continue;
    const [a, b] = [light(rgb(getComputedStyle(at).color)), light(behind(at))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(1)}: ${at.textContent.trim().slice(0, 40)}`);
  }
  return found;
};

const verbs = {
  async shot(browser, [out, width, scheme, lang]) {
    const phone = +width < 600;
    const page = await open(browser, {
      viewport: { width: +width, height: 844 }, deviceScaleFactor: phone ? 2 : 1,
      isMobile: phone, hasTouch: phone, colorScheme: scheme, locale: lang,
    });
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) {
      bad.push('page scrolls sideways');
    }
    bad.push(...await page.evaluate(faint));
    await page.screenshot({ path: out, fullPage: true });
  },
  async live(browser, [text, part]) {
    const page = await open(browser, { locale: 'en-US' });
    await page.evaluate(() => { window.same = true; });
    const folded = page.locator(`details[data-key*="${part}"]`);
    if (part) await folded.locator('summary').click();
    console.log('open');
    await page.getByText(text).first().waitFor({ timeout: 60000 });
    if (!await page.evaluate(() => window.same)) bad.push('the page was loaded anew');
    if (part && !await folded.evaluate((at) => at.open)) bad.push(`${part} was folded`);
  },
  async plain(browser, [text]) {
    const page = await open(browser, { locale: 'en-US', javaScriptEnabled: false });
    await page.getByText(text).first().waitFor({ timeout: 10000 });
  },
  async silence(browser, [name]) {
    const page = await open(browser, { locale: 'en-US', javaScriptEnabled: false });
    await page.locator('#silence-by').fill(name);
    await page.getByRole('button', { name: 'Silence', exact: true }).click();
    await page.getByText('End it now').click();
    await page.locator('.terms input[name=by]').fill(name);
    await page.getByRole('button', { name: 'End it', exact: true }).click();
    await page.getByText('None in force.').waitFor({ timeout: 60000 });
  },
  async ack(browser, [name]) {
    const page = await open(browser, { locale: 'en-US' });
    await page.getByLabel('Your name').focus();
    await page.keyboard.type(name);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('.lead').getByText(name).waitFor({ timeout: 60000 });
  },
};

async function open(browser, options) {
  const page = await (await browser.newContext(options)).newPage();
  page.on('pageerror', (e) => bad.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && bad.push(m.text()));
  page.on('requestfailed', (r) => r.url().endsWith('/events') || bad.push(r.url()));
  await page.goto(url, { waitUntil: 'load', timeout: 30000 });
  return page;
}

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
  try { await verbs[verb](browser, rest); } finally { await browser.close(); }
  if (bad.length) throw new Error(bad.join('\n'));
})().catch((e) => { console.error(String(e)); process.exit(1); });
