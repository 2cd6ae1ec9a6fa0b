//! One order, from the account to the certificate.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};

use super::Acme;
use super::cache::{Issued, Registered};
use super::keys::proof;
use crate::net::dial::Dialer;

/// How long the authority may take to look whether it is us, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .timeout(Duration::from_secs(120));

impl Acme {
    /// Orders a certificate, answering the authority's questions meanwhile.
    pub(super) async fn order(&mut self) -> Result<Issued> {
        let account = self.account().await.context("no account")?;
        let domains = self.config.domains.iter().cloned();
        let identifiers: Vec<_> = domains.map(Identifier::Dns).collect();
        let ordered = account.new_order(&NewOrder::new(&identifiers)).await;
        let mut order = ordered.context("the order was refused")?;
        self.prove(&mut order).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            other => match what_it_saw(&mut order).await {
                Some(what) => bail!("{what}"),
                None => bail!("the order was not approved: {:?}", other?),
            },
        }
        let key = order.finalize().await.context("the order was not filled")?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(Issued {
            directory: self.config.directory.clone(),
            domains: self.config.domains.clone(),
            chain,
            key,
        })
    }

    /// The account, made at the first order.
    async fn account(&self) -> Result<Account> {
        let directory = &self.config.directory;
        let http = Account::builder_with_http(Box::new(Http(self.dialer.clone())));
        if let Some(credentials) = self.cache.account(directory)? {
            return Ok(http.from_credentials(credentials).await?);
        }
        let contact = self.config.contact.as_deref();
        let contact: Vec<_> = contact.into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.config.accept_terms,
            only_return_existing: false,
        };
        let (account, credentials) = http.create(&new, directory.clone(), None).await?;
        self.cache.store_account(&Registered {
            directory: directory.clone(),
            credentials,
        })?;
        Ok(account)
    }

    /// Is ready to show that each domain is ours, and says so.
    async fn prove(&mut self, order: &mut Order) -> Result<()> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => bail!("the authorization is {other:?}"),
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.context("the authority does not know TLS-ALPN-01")?;
            let domain = challenge.identifier().to_string();
            let proof = proof(&domain, challenge.key_authorization().digest().as_ref())?;
            self.keys.challenges.insert(domain, proof);
            self.publish();
            challenge.set_ready().await?;
        }
        Ok(())
    }
}

/// What the authority found wrong when it looked.
async fn what_it_saw(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let domain = state.identifier().to_string();
        let asked = state.challenges.iter();
        if let Some(error) = asked.filter_map(|asked| asked.error.as_ref()).next() {
            let what = format!("the authority could not see that {domain} is here: {error}");
            return Some(what);
        }
    }
    None
}

/// How the library makes its requests.
struct Http(Dialer);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let dialer = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {});
            let request = Request::from_parts(head, Full::new(body.to_bytes()));
            match dialer.request(request).await {
                Ok(answer) => Ok(answer.map(Full::new).into()),
                Err(error) => Err(Error::Other(Box::new(error))),
            }
        })
    }
}
