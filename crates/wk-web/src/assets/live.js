// Keeps a page live: ages tick, and when the monitor reports a change the page is read again and
// its <main> replaced. Without this script the page reloads itself every ten seconds.
'use strict';
(() => {
  const zh = document.documentElement.lang.startsWith('zh');
  const units = zh ? ['天', '小时', '分', '秒'] : ['d', 'h', 'min', 's'];
  const two = (a, i, b) => `${a} ${units[i]}` + (b ? ` ${b} ${units[i + 1]}` : '');
  const duration = (s) =>
    s < 60 ? `${s} ${units[3]}`
    : s < 3600 ? two(Math.floor(s / 60), 2, s % 60)
    : s < 86400 ? two(Math.floor(s / 3600), 1, Math.floor(s / 60) % 60)
    : two(Math.floor(s / 86400), 0, Math.floor(s / 3600) % 24);
  const tick = () => {
    for (const at of document.querySelectorAll('time[data-since]')) {
      const text = duration(Math.max(0, Math.floor((Date.now() - Date.parse(at.dateTime)) / 1000)));
      if (at.textContent !== text) at.textContent = text;
    }
  };

  // A page under somebody's hands is not replaced: he would lose what he types, or typed.
  const fields = () => document.querySelectorAll('main input:not([type=hidden]), main textarea');
  const busy = () => {
    const at = document.activeElement;
    const here = at && at.matches('input, button, select, textarea');
    return (here && document.getElementById('main').contains(at))
      || [...fields()].some((field) => field.value !== field.defaultValue)
      || [...document.querySelectorAll('main option')].some((o) => o.selected !== o.defaultSelected);
  };
  const kept = () => [...document.querySelectorAll('details[data-key]')];
  const replace = (html) => {
    const next = new DOMParser().parseFromString(html, 'text/html');
    const main = next.getElementById('main');
    if (!main || busy()) return;
    const open = new Map(kept().map((d) => [d.dataset.key, d.open]));
    document.getElementById('main').replaceChildren(...main.childNodes);
    kept().forEach((d) => { if (open.has(d.dataset.key)) d.open = open.get(d.dataset.key); });
    document.title = next.title;
    tick();
  };

  let waiting = false, reading = false, again = false;
  const read = async () => {
    if (reading) { again = true; return; }
    reading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
      if (answer.ok) replace(await answer.text());
    } catch { /* the event stream says that the server is away */ }
    reading = false;
    if (again) { again = false; changed(); }
  };
  const changed = () => {
    const pace = Number(document.getElementById('main').dataset.pace);
    if (waiting || !pace) return;
    waiting = true;
    setTimeout(() => { waiting = false; read(); }, pace);
  };

  const badge = document.querySelector('.live');
  const show = (on) => {
    badge.textContent = on ? badge.dataset.on : badge.dataset.off;
    badge.classList.toggle('off', !on);
  };
  if ('EventSource' in window) {
    const events = new EventSource('/api/v1/events');
    events.onopen = () => { show(true); changed(); };
    events.onerror = () => show(false);
    for (const name of ['fleet', 'incident', 'resync']) events.addEventListener(name, changed);
    addEventListener('pagehide', () => events.close());
  }
  setInterval(tick, 1000);
})();
