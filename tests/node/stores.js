'use strict';

// How each package is opened: its options as the package takes them, and `url`.

const { createRequire } = require('node:module');
const session = require('express-session');

async function redisClient(name, url) {
  const client = require(name).createClient({ url });
  // Without a listener, the server's end would be an uncaught error.
  client.on('error', () => {});
  await client.connect();
  return client;
}

const mongoClients = {};

// All stores of a package on one server share one client, of its own driver: none is ever closed,
// and the server would run out of connections.
function mongoClient(name, url, options) {
  const { MongoClient } = createRequire(require.resolve(name))('mongodb');
  return (mongoClients[`${name} ${url}`] ??= MongoClient.connect(url, options));
}

// How connect-mongo is opened since version 4.
async function mongoStore(name, { url, ...options }) {
  const { default: MongoStore } = await import(name);
  const store = MongoStore.create({ clientPromise: mongoClient(name, url), ...options });
  await store.collectionP;
  return store;
}

function mysqlOptions({ url, ...options }) {
  const { hostname: host, port, username: user, password, pathname } = new URL(url);
  return { host, port, user, password, database: pathname.slice(1), ...options };
}

function pgStore(name, { url, timeZone, ...options }) {
  const PgSession = require(name)(session);
  const conObject = { connectionString: url, options: timeZone && `-c TimeZone=${timeZone}` };
  return new PgSession({ conObject, ...options });
}

module.exports = {
  'connect-redis@3': ({ url, ...options }) => {
    const RedisStore = require('connect-redis-3')(session);
    return new RedisStore({ url, ...options });
  },
  'connect-redis@6': ({ url, ...options }) => {
    const RedisStore = require('connect-redis-6')(session);
    return new RedisStore({ client: require('redis-3').createClient(url), ...options });
  },
  'connect-redis@7': async ({ url, ...options }) => {
    const { default: RedisStore } = await import('connect-redis-7');
    return new RedisStore({ client: await redisClient('redis-4', url), ...options });
  },
  'connect-redis@8': async ({ url, ...options }) => {
    const { RedisStore } = await import('connect-redis-8');
    return new RedisStore({ client: await redisClient('redis-4', url), ...options });
  },
  'connect-redis@9': async ({ url, ...options }) => {
    const { RedisStore } = await import('connect-redis-9');
    return new RedisStore({ client: await redisClient('redis', url), ...options });
  },
  'connect-mongo@3': ({ url, dbName, ...options }) => {
    const MongoStore = require('connect-mongo-3')(session);
    const driver = { useNewUrlParser: true, useUnifiedTopology: true };
    const clientPromise = mongoClient('connect-mongo-3', url, driver);
    const store = new MongoStore({ clientPromise, dbName, ...options });
    return new Promise((resolve) => store.once('connected', () => resolve(store)));
  },
  'connect-mongo@4': (options) => mongoStore('connect-mongo-4', options),
  'connect-mongo@5': (options) => mongoStore('connect-mongo-5', options),
  'connect-mongo@6': (options) => mongoStore('connect-mongo-6', options),
  'express-mysql-session@2': (options) => {
    const MySQLStore = require('express-mysql-session-2')(session);
    return new Promise((done, failed) => {
      const opened = (error) => (error ? failed(error) : done(store));
      const store = new MySQLStore(mysqlOptions(options), opened);
    });
  },
  'express-mysql-session@3': async (options) => {
    const MySQLStore = require('express-mysql-session')(session);
    const store = new MySQLStore(mysqlOptions(options));
    await store.onReady();
    return store;
  },
  'connect-pg-simple@9': (options) => pgStore('connect-pg-simple-9', options),
  'connect-pg-simple@10': (options) => pgStore('connect-pg-simple', options),
};
