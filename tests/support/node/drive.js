// Drives the official Node SDK through one flow and prints what the SDK reports, as JSON.
//
//   node drive.js FLOW <given.json
//
// `given` holds the sandbox's description; nothing of the SDK is changed but its address.

'use strict';

const sdk = require('facebook-nodejs-business-sdk');

const {AdAccount, FacebookAdsApi, FacebookAdsApiBatch, LeadgenForm, Page, User} = sdk;

function open(given, token) {
  Object.defineProperty(FacebookAdsApi, 'GRAPH', {get: () => given.graph_url});
  return FacebookAdsApi.init(token || given.user_access_token, 'en_US', false);
}

async function refused(call) {
  try {
    return {answered: await call()};
  } catch (error) {
    return {
      name: error.name,
      status: error.status,
      message: error.message,
      response: error.response,
      challenge: error.headers && error.headers['www-authenticate'],
    };
  }
}

const names = (objects) => Array.from(objects, (one) => one.name || one.id);

const flows = {
  async objects(given) {
    open(given).setShowHeader(true);
    const me = await new User('me').get(['id', 'name']);
    const account = await new AdAccount(`act_${given.ad_account_id}`).get(['name', 'currency']);
    const page = await new Page(given.page_id).get(['name', 'has_lead_access']);
    return {
      me: me.name,
      account: account._data,
      page: page.name,
      canAccessLead: page._data.has_lead_access.can_access_lead,
      version: FacebookAdsApi.VERSION,
      warning: account._data.headers['x-ad-api-version-warning'],
      servedBy: account._data.headers['facebook-api-version'],
    };
  },

  async cursor(given) {
    open(given, given.page_access_token);
    const form = new LeadgenForm(given.leadgen_form_id);
    const pages = [];
    let leads = await form.getLeads(['id', 'created_time'], {limit: 25});
    pages.push(leads.map((lead) => lead.id));
    while (leads.hasNext()) {
      leads = await leads.next();
      pages.push(leads.map((lead) => lead.id));
    }
    const end = await refused(() => leads.next());
    const back = await leads.previous();
    return {pages, end, back: back.map((lead) => lead.id)};
  },

  async campaigns(given) {
    open(given);
    const account = new AdAccount(`act_${given.ad_account_id}`);
    const seen = [];
    let found = await account.getCampaigns(['name'], {limit: 1});
    for (;;) {
      seen.push(...names(found));
      if (!found.hasNext()) return seen;
      found = await found.next();
    }
  },

  async walk(given) {
    open(given);
    const pages = await new User('me').getAccounts(['access_token', 'name']);
    open(given, pages[0].access_token);
    const forms = await new Page(pages[0].id).getLeadGenForms(['name']);
    const form = new LeadgenForm(forms[0].id);
    const made = await form.createTestLead([], {});
    const found = await form.getTestLeads(['id']);
    return {page: pages[0].name, form: forms[0].name, made: made.id, found: found[0].id};
  },

  async subscribe(given) {
    open(given, given.page_access_token);
    const page = new Page(given.page_id);
    await page.createSubscribedApp([], {subscribed_fields: ['leadgen']});
    const before = await page.getSubscribedApps(['id', 'subscribed_fields']);
    const withPageToken = await refused(() => page.deleteSubscribedApps({}));
    open(given, `${given.app_id}|${given.app_secret}`);
    await new Page(given.page_id).deleteSubscribedApps({});
    open(given, given.page_access_token);
    const after = await page.getSubscribedApps([]);
    return {before: before.map((one) => one._data), after: after.length, withPageToken};
  },

  async errors(given) {
    const api = open(given);
    return {
      field: await refused(() => new User('me').get(['no_such_field'])),
      missing: await refused(() => new AdAccount('act_1').get(['name'])),
      pageToken: await refused(() => new Page(given.page_id).getLeadGenForms(['name'])),
      badToken: await refused(() => new FacebookAdsApi('nonsense', 'en_US', false).call('GET', ['me'])),
      unversioned: await refused(() => api.call('GET', `${given.graph_url}/me/adaccounts?access_token=${given.user_access_token}`)),
    };
  },

  async me(given) {
    open(given);
    return refused(async () => (await new User('me').get(['name'])).name);
  },

  async leads(given) {
    open(given, given.page_access_token);
    return refused(async () => (await new LeadgenForm(given.leadgen_form_id).getLeads(['id'])).length);
  },

  async appOf(given) {
    return (await open(given).getAppID()).data;
  },

  async batch(given) {
    const api = open(given);
    const good = [];
    const bad = [];
    const batch = new FacebookAdsApiBatch(api, null, null);
    const add = (path, params) =>
      batch.add('GET', path, params, null, (one) => good.push(one.body), (one) => bad.push(one.error));
    add(['me'], {fields: 'name'});
    add([`act_${given.ad_account_id}`, 'campaigns'], {fields: 'name', limit: 1});
    add(['act_1'], {fields: 'name'});
    const left = await batch.execute();
    return {
      good,
      bad: bad.map((one) => ({name: one.name, status: one.status, response: one.response})),
      left,
    };
  },
};

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const given = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  console.log(JSON.stringify(await flows[process.argv[2]](given)));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
