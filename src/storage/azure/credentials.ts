import { misconfigured, readEndpoint } from './location.ts';

/** What opens an account, and where it is if the variables say so. */
export interface AzureAccess {
  /** `key`: the account key, which can do everything. `sas`: a shared access signature, which can do what it says. */
  readonly kind: 'key' | 'sas';
  readonly secret: string;
  readonly endpoint: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const names = ['AZURE_STORAGE_CONNECTION_STRING', 'AZURE_STORAGE_KEY', 'AZURE_STORAGE_SAS_TOKEN'] as const;
type Name = (typeof names)[number];

/**
 * Credentials from the variables of Azure's own tools, in their order: connection string, key, signature. With the name of
 * the account behind it (`AZURE_STORAGE_KEY_BACKUPS2`) a variable is for that account alone and comes first: a key opens one
 * account, and copies at a second place are in another. Like the SDK of S3 this reads `process.env` by itself. Throws
 * `Misconfigured`; no value is repeated.
 */
export function findCredentials(account: string, env: Environment = process.env): AzureAccess {
  const suffix = `_${account.toUpperCase()}`;
  const own = names.find((name) => env[name + suffix]);
  if (own) return readVariable(own, own + suffix, env[own + suffix] ?? '', account);
  const general = names.find((name) => env[name]);
  if (!general) {
    throw misconfigured(
      `There are no credentials for the storage account ${account}.`,
      'Set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.',
    );
  }
  const named = env.AZURE_STORAGE_ACCOUNT;
  if (named && named !== account && general !== 'AZURE_STORAGE_CONNECTION_STRING')
    throw otherAccount('AZURE_STORAGE_ACCOUNT', account);
  return readVariable(general, general, env[general] ?? '', account);
}

function readVariable(kind: Name, name: string, value: string, account: string): AzureAccess {
  const text = value.trim();
  if (kind === 'AZURE_STORAGE_KEY') return readKey(name, text);
  if (kind === 'AZURE_STORAGE_SAS_TOKEN') return readSignature(name, text);
  return readConnectionString(name, text, account);
}

function readKey(name: string, text: string): AzureAccess {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length < 16 || bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, ''))
    throw misconfigured(`${name} holds no account key.`, 'It is about 88 characters of base64.');
  return { kind: 'key', secret: text, endpoint: undefined };
}

function readSignature(name: string, text: string): AzureAccess {
  const secret = text.replace(/^\?/, '');
  if (!new URLSearchParams(secret).has('sig') || /[\s#]/.test(secret)) {
    throw misconfigured(
      `${name} holds no shared access signature.`,
      'It is a list like sv=…&sp=…&sig=…, without the URL in front of it.',
    );
  }
  return { kind: 'sas', secret, endpoint: undefined };
}

/** `AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`, values may hold "=". */
function readConnectionString(name: string, text: string, account: string): AzureAccess {
  const values = new Map<string, string>();
  for (const part of text.split(';')) {
    const at = part.indexOf('=');
    if (at > 0) values.set(part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim());
  }
  const named = values.get('accountname');
  if (named !== undefined && named !== account) throw otherAccount(name, account);
  const key = values.get('accountkey');
  const signature = values.get('sharedaccesssignature');
  const access = key
    ? readKey(`The AccountKey in ${name}`, key)
    : signature && readSignature(`The SharedAccessSignature in ${name}`, signature);
  if (!access) {
    throw misconfigured(
      `${name} has neither an AccountKey nor a SharedAccessSignature.`,
      'Copy the connection string from "Access keys" of the storage account.',
    );
  }
  const suffix = values.get('endpointsuffix');
  const scheme = values.get('defaultendpointsprotocol') ?? 'https';
  const usual = suffix === undefined ? undefined : `${scheme}://${account}.blob.${suffix}`;
  return { ...access, endpoint: readEndpoint(values.get('blobendpoint') ?? usual) };
}

function otherAccount(name: string, account: string): Error {
  return misconfigured(
    `${name} names another storage account than ${account}, which the URL of the store names.`,
    `Correct one of them; credentials for this account alone go into AZURE_STORAGE_KEY_${account.toUpperCase()} (or …_SAS_TOKEN_…).`,
  );
}
