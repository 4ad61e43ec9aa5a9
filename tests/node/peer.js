'use strict';

// Does what it is told on standard input, a line of JSON each, and answers on standard output. Ends
// with its input.

const http = require('node:http');
const readline = require('node:readline');
const session = require('express-session');
const TokenSession10 = require('token-session');
const TokenSession11 = require('./token-session-1.1');
const stores = require('./stores');

const opened = [];

async function open({ store, options, layout, autoTouch, secret, cookie }) {
  const peer = { store: await stores[store](options) };
  peer['1.1'] = new TokenSession11({ store: peer.store, autoTouch });
  peer['1.0'] = new TokenSession10({ store: peer.store });
  if (secret) peer.express = await express({ store: peer.store, secret, cookie });
  return opened.push(peer) - 1;
}

async function handle(req) {
  let body = '';
  for await (const chunk of req) body += chunk;
  const answer = { found: { ...req.session }, id: req.sessionID };
  for (const [verb, argument] of JSON.parse(body)) {
    if (verb === 'set') Object.assign(req.session, argument);
    if (verb === 'delete') delete req.session[argument];
    if (verb === 'count') req.session[argument] += 1;
    if (verb === 'destroy') await new Promise((done) => req.session.destroy(done));
  }
  return answer;
}

// A service whose only route does to its session what the request's body says.
async function express(options) {
  const middleware = session({ resave: false, saveUninitialized: false, ...options });
  const server = http.createServer((req, res) => {
    middleware(req, res, async (error) => {
      // A touch may fail when the answer is out: the session has ended since it was read.
      if (res.headersSent) return;
      try {
        if (error) throw error;
        res.end(JSON.stringify(await handle(req)));
      } catch (failure) {
        res.writeHead(500).end(JSON.stringify({ error: String(failure) }));
      }
    });
  });
  // A client that has paused would use a connection that is just being closed.
  server.keepAliveTimeout = 0;
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return `http://127.0.0.1:${server.address().port}/`;
}

async function request({ peer, cookie, steps = [] }) {
  // `fetch` would join the cookies of an answer into one header in Node 18.
  const response = await new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: cookie ? { cookie } : {}, agent: false };
    const sent = http.request(opened[peer].express, options, resolve);
    sent.on('error', reject).end(JSON.stringify(steps));
  });
  let body = '';
  for await (const chunk of response) body += chunk;
  const { statusCode: status, headers } = response;
  return { ...JSON.parse(body), status, cookies: headers['set-cookie'] ?? [] };
}

// A method of `token-session`, 1.1 unless `of` says 1.0, or of the store.
async function call({ peer, of = '1.1', method, args }) {
  const target = opened[peer][of];
  if (of === '1.1') return target[method](...args);
  return new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    target[method](...args, done);
  });
}

const parseDate = ({ text }) => Date.parse(text);

const operations = { open, request, call, parseDate };

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { number, operation, ...args } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await operations[operation](args)) ?? null };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify({ number, ...answer })}\n`);
}).on('close', () => process.exit());

// A package that fails on its own must not take down what other tests use.
process.on('unhandledRejection', (error) => console.error('unhandled', error));
process.on('uncaughtException', (error) => console.error('uncaught', error));
