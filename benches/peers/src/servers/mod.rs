//! The real servers that everybody is measured on, and what they hold.

mod certificates;
mod cluster;
mod load;
mod process;
mod proxy;

use crate::data::Size;
use crate::layout::Layout;
use anyhow::Result;
use certificates::Certificates;
use process::Server;
use proxy::Proxy;

/// Which servers a cell needs. Cells of the same kind share them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub servers: u16,
    pub nodes: u16,
    pub tls: bool,
    /// As many cluster-enabled servers too.
    pub cluster: bool,
    /// Twemproxy in front of the plain ones.
    pub proxy: bool,
    /// Every key of these sizes is on every plain server, so that no routing can miss it.
    pub sizes: &'static [Size],
}

/// Running servers; dropping it ends them.
pub struct Stage {
    pub shape: Shape,
    pub layout: Layout,
    _servers: Vec<Server>,
    _proxy: Option<Proxy>,
    _certificates: Option<Certificates>,
}

impl Stage {
    pub fn set(shape: Shape) -> Result<Stage> {
        let certificates = shape.tls.then(Certificates::generate).transpose()?;
        let mut plain = Vec::new();
        for _ in 0..shape.servers {
            plain.push(match &certificates {
                None => Server::plain()?,
                Some(certificates) => Server::with_tls(certificates)?,
            });
        }
        for server in &plain {
            load::plain(server.plain_port, shape.sizes)?;
        }
        let mut clustered = Vec::new();
        if shape.cluster {
            clustered = cluster::form(shape.servers)?;
            load::cluster(clustered[0].port, shape.sizes)?;
        }
        let ports = |servers: &[Server]| servers.iter().map(|server| server.port).collect();
        let mut layout = Layout {
            servers: ports(&plain),
            cluster: ports(&clustered),
            proxy: None,
            nodes: shape.nodes,
            ca_file: certificates.as_ref().map(Certificates::ca_file),
        };
        let mut proxy = None;
        if shape.proxy {
            proxy = Proxy::start(&layout.servers)?;
            layout.proxy = proxy.as_ref().map(|proxy| proxy.port);
        }
        plain.append(&mut clustered);
        Ok(Stage {
            shape,
            layout,
            _servers: plain,
            _proxy: proxy,
            _certificates: certificates,
        })
    }
}
