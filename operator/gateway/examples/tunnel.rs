//! Tries a gateway's tunnel by hand.
//!
//! `tunnel keys FOLDER` writes `gateway.pem` (for `--tls-bundle`), `operator.pem`, `operator.key` and `authority.pem`. Then, with the
//! addresses of gateways separated by commas: `tunnel FOLDER ADDRESSES stats`, `... resolve NAME`, `... get HOST PORT PATH`,
//! `... drain [IP...]`.

use milvus_gateway::pki::{self, Validity};
use milvus_gateway::tunnel::Client;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const USAGE: &str = "usage: tunnel keys FOLDER | tunnel FOLDER ADDRESS[,ADDRESS...] stats|resolve NAME|get HOST PORT PATH|drain [IP...]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["keys", folder] = args.as_slice() {
        return write_keys(Path::new(folder));
    }
    let [folder, addresses, request @ ..] = args.as_slice() else {
        return Err(USAGE.into());
    };
    let read = |name| std::fs::read_to_string(Path::new(folder).join(name));
    let tls = pki::client_config(
        &read("operator.pem")?,
        &read("operator.key")?,
        &read("authority.pem")?,
    )?;
    let addresses = addresses.split(',').map(str::parse);
    let client = Client::new(addresses.collect::<Result<_, _>>()?, tls);
    let began = Instant::now();
    match request {
        ["stats"] => {
            for (gateway, stats) in client.stats_of_all().await {
                println!("{gateway}: {stats:#?}");
            }
        }
        ["resolve", name] => println!("{:?}", client.resolve(name).await?),
        ["get", host, port, path] => {
            let mut stream = client.connect(host, port.parse()?).await?;
            println!("{:?} through {}", stream.address(), stream.gateway());
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            println!("{answer}");
        }
        ["drain", addresses @ ..] => {
            let addresses: Vec<_> = addresses
                .iter()
                .map(|a| a.parse())
                .collect::<Result<_, _>>()?;
            for (gateway, open) in client.drain(&addresses, Duration::from_secs(60)).await {
                println!("{gateway}: {open:?}");
            }
        }
        _ => return Err(USAGE.into()),
    }
    eprintln!("{:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

fn write_keys(folder: &Path) -> Result<(), Box<dyn Error>> {
    let pki = pki::generate(
        "example",
        Validity {
            from: SystemTime::now(),
            lasts: Duration::from_secs(86400),
        },
    )?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("gateway.pem"), pki.gateway_bundle())?;
    std::fs::write(folder.join("operator.pem"), pki.operator.certificate)?;
    std::fs::write(folder.join("operator.key"), pki.operator.key)?;
    std::fs::write(folder.join("authority.pem"), pki.authority.certificate)?;
    Ok(())
}
