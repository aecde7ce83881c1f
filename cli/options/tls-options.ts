// The options of a program that connects to a coordinator over TLS, and of the coordinator: files in PEM.
import type { Command } from 'commander';
import type { ClientTlsFiles } from '../../shared/protocol/client-tls.js';

/** For commands that take the URL of a coordinator. */
export function addClientTlsOptions(command: Command): Command {
  return command
    .option(
      '--tls-ca <FILE>',
      "wss and https: the authorities to trust, instead of the usual ones, for the coordinator's certificate",
    )
    .option('--tls-cert <FILE>', 'wss and https: the certificate to show to a coordinator that asks for one')
    .option('--tls-key <FILE>', "that certificate's key");
}

/** For whoever listens for workers. */
export function addServerTlsOptions(command: Command): Command {
  return command
    .option('--tls-cert <FILE>', 'speak TLS (wss, https) with this certificate; read again when it changes')
    .option('--tls-key <FILE>', "the certificate's key")
    .option('--tls-client-ca <FILE>', 'let in only who shows a certificate of these authorities');
}

export function readClientTlsOptions(options: Readonly<Record<string, unknown>>): ClientTlsFiles {
  return { tlsCa: fileIn(options, 'tlsCa'), tlsCert: fileIn(options, 'tlsCert'), tlsKey: fileIn(options, 'tlsKey') };
}

/** The same as arguments for a process that this one starts. */
export function clientTlsArguments({ tlsCa, tlsCert, tlsKey }: ClientTlsFiles): string[] {
  const given = { '--tls-ca': tlsCa, '--tls-cert': tlsCert, '--tls-key': tlsKey };
  return Object.entries(given).flatMap(([option, file]) => (file === undefined ? [] : [option, file]));
}

function fileIn(options: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const file = options[name];
  return typeof file === 'string' ? file : undefined;
}
