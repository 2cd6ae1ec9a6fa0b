//! A table of routes that is a router and a part of the document at once.

use std::any::type_name;
use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, Route as AxumRoute, on};
use tower::{Layer, Service};

use super::operation::{Documented, Operation};
use crate::http::AppState;

/// One operation at one path.
#[derive(Debug, Clone)]
pub struct Route {
    /// In lower case, as the document has it.
    pub method: &'static str,
    /// As both axum and OpenAPI write it: `/archive/{id}`.
    pub path: String,
    /// The handler's name with its module's: `archives::find`.
    pub handler: &'static str,
    /// Tells what it takes and gives.
    pub describe: fn(&mut Operation<'_>),
}

/// Routes, each of which is served and described.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<AppState>,
    described: Vec<Route>,
    undescribed: Vec<String>,
}

/// Methods named like those of HTTP.
macro_rules! methods {
    ($($name:ident $filter:ident)*) => {$(
        #[doc = concat!("Routes `", stringify!($filter), "` of a path to a handler.")]
        #[must_use]
        pub fn $name<H, T>(self, path: &str, handler: H) -> Self
        where
            H: Handler<T, AppState> + Documented<T>,
            T: 'static,
        {
            self.route(stringify!($name), MethodFilter::$filter, path, handler)
        }
    )*};
}

impl Routes {
    methods! { get GET post POST put PUT patch PATCH delete DELETE }

    fn route<H, T>(
        mut self,
        method: &'static str,
        on_method: MethodFilter,
        path: &str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, AppState> + Documented<T>,
        T: 'static,
    {
        self.router = self.router.route(path, on(on_method, handler));
        self.described.push(Route {
            method,
            path: path.to_owned(),
            handler: short_name::<H>(),
            describe: H::describe,
        });
        self
    }

    /// Serves what is for people and no part of the API.
    #[must_use]
    pub fn page(mut self, path: &'static str, page: MethodRouter<AppState>) -> Self {
        self.router = self.router.route(path, page);
        self.undescribed.push(path.to_owned());
        self
    }

    /// Serves routes once more, below another path. That they are there, too, is told in words.
    #[must_use]
    pub fn also_below(mut self, prefix: &str, others: Self) -> Self {
        self.router = self.router.nest(prefix, others.router);
        let paths = others.described.into_iter();
        let paths = paths.map(|route| format!("{prefix}{}", route.path));
        self.undescribed.extend(paths);
        self
    }

    /// Adds routes below a path.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.router = self.router.nest(prefix, other.router);
        self.described
            .extend(other.described.into_iter().map(|route| Route {
                path: format!("{prefix}{}", route.path),
                ..route
            }));
        self
    }

    /// Adds routes beside these.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self.undescribed.extend(other.undescribed);
        self
    }

    /// Puts a layer in front of these routes, and not of those that are added later.
    #[must_use]
    pub fn route_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<AxumRoute> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.route_layer(layer);
        self
    }

    /// The router, what is described of it, and the paths of what is not.
    pub fn into_parts(self) -> (Router<AppState>, Vec<Route>, Vec<String>) {
        (self.router, self.described, self.undescribed)
    }
}

/// A handler's name with its module's.
fn short_name<H>() -> &'static str {
    let name = type_name::<H>();
    let (rest, _) = name.rsplit_once("::").unwrap_or_default();
    let begin = rest.rfind("::").map_or(0, |at| at + 2);
    &name[begin..]
}
