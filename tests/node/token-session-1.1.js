'use strict';

// What `token-session` 1.1 does to its store, which npm has only as 1.0: the data in a wrapper, a
// touch with every read, and a time to live that is lent to the store while one session is written.

const { sync: uid } = require('uid-safe');

const wrap = (data) => ({ cookie: { maxAge: 0 }, data });

class TokenSession {
  constructor({ store, autoTouch = true }) {
    this.store = store;
    this.autoTouch = autoTouch;
  }

  ask(method, ...args) {
    return new Promise((resolve, reject) => {
      const done = (error, answer) => (error ? reject(error) : resolve(answer));
      const promise = this.store[method](...args, done);
      // connect-mongo 4 and newer call back and return a promise.
      promise?.catch?.(() => {});
    });
  }

  async newSession(data, ttl) {
    const id = uid(24);
    await (ttl ? this.setWttl(id, data, ttl) : this.set(id, data));
    return id;
  }

  async get(id) {
    const wrapper = await this.ask('get', id);
    if (!wrapper) return null;
    if (this.autoTouch) await this.touch(id, wrapper);
    return { data: wrapper.data };
  }

  set(id, data) {
    return this.ask('set', id, wrap(data));
  }

  touch(id, wrapper) {
    return this.ask('touch', id, wrap(wrapper));
  }

  destroy(id) {
    return this.ask('destroy', id);
  }

  async setWttl(id, data, ttl) {
    const [options, name] = this.store.ttl
      ? [this.store, 'ttl']
      : [this.store.options ?? {}, 'expiration'];
    const before = options[name];
    options[name] = ttl;
    if (!data.cookie) data.cookie = { maxAge: undefined };
    await this.set(id, data);
    options[name] = before;
  }
}

module.exports = TokenSession;
